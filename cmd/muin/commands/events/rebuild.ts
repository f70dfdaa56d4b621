import {
  OperationsService,
  RebuildConsumerResponseSchema,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** `muin events rebuild`. */
export const rebuild = remoteCommand({
  name: "rebuild",
  description: "have one consumer make anew what it made of a topic: whoever publishes state there tells it again",
  arguments: { service: { help: "name of the consuming service" }, topic: { help: "the topic, as graph names it" } },
  examples: ["muin events rebuild branch-owner identity.user"],
  call: ({ service, topic }, { client }) => client(OperationsService).rebuildConsumer({ service, topic }),
  json: plain(RebuildConsumerResponseSchema),
  print: ({ generation }, output, { service, topic }) =>
    output.print(`${service} rebuilds what it made of ${topic}, as generation ${generation}`),
});
