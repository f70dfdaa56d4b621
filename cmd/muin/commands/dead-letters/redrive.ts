import {
  OperationsService,
  RedriveDeadLettersResponseSchema,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** `muin dead-letters redrive`. */
export const redrive = remoteCommand({
  name: "redrive",
  description: "hand parked events back to their consumer, in order",
  arguments: { service: { help: "name of the consuming service" } },
  options: { subject: { value: "key", help: "only those of this key" } },
  examples: ["muin dead-letters redrive count-management", "muin dead-letters redrive count-read --subject visits"],
  call: ({ service, subject = "" }, { client }) => client(OperationsService).redriveDeadLetters({ service, subject }),
  json: plain(RedriveDeadLettersResponseSchema),
  print: ({ redriven }, output, { service }) => output.print(`handed ${redriven} back to ${service}`),
});
