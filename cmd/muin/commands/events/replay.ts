import {
  OperationsService,
  ReplayEventsResponseSchema,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** `muin events replay`. */
export const replay = remoteCommand({
  name: "replay",
  description: "have one consumer read a topic again from its oldest event, effects included",
  arguments: { service: { help: "name of the consuming service" }, topic: { help: "the topic, as graph names it" } },
  examples: ["muin events replay count-management count.value"],
  call: ({ service, topic }, { client }) => client(OperationsService).replayEvents({ service, topic }),
  json: plain(ReplayEventsResponseSchema),
  print: ({ generation }, output, { service, topic }) =>
    output.print(`${service} reads ${topic} again, as generation ${generation}`),
});
