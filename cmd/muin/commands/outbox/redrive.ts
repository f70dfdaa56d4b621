import {
  OperationsService,
  RedriveParkedEventsResponseSchema,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** `muin outbox redrive`. */
export const redrive = remoteCommand({
  name: "redrive",
  description: "give parked events back to be published, in order",
  arguments: { service: { help: "name of the service that recorded them" } },
  options: { subject: { value: "key", help: "only those of this key" } },
  examples: ["muin outbox redrive auth", "muin outbox redrive count-management --subject visits"],
  call: ({ service, subject = "" }, { client }) => client(OperationsService).redriveParkedEvents({ service, subject }),
  json: plain(RedriveParkedEventsResponseSchema),
  print: ({ redriven }, output, { service }) => output.print(`gave ${redriven} back to be published by ${service}`),
});
