import {
  OperationsService,
  RepublishEventsResponseSchema,
} from "../../../../internal/gen/muin/platform/v1/operations_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** How long publishing every aggregate again may take, in milliseconds. */
const timeoutMs = 3_600_000;

/** `muin events republish`. */
export const republish = remoteCommand({
  name: "republish",
  description: "publish the current state of all that a topic tells of again; harmless for who has it",
  arguments: { topic: { help: "the topic, as graph names it" } },
  examples: ["muin events republish count.info"],
  call: ({ topic }, { client }) => client(OperationsService).republishEvents({ topic }, { timeoutMs }),
  json: plain(RepublishEventsResponseSchema),
  print: ({ republished }, output) => output.print(`published the state of ${republished} again`),
});
