import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  IssueServiceTokenResponseSchema,
  ServiceTokenService,
} from "../../../../internal/gen/muin/identity/v1/service_token_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { minuteText } from "../../terminal/time-text.ts";
import { durationMs } from "../../terminal/values.ts";
import { knownService, serviceArgument } from "./service-argument.ts";

/** `muin services token`. */
export const token = remoteCommand({
  name: "token",
  description: "issue a token of a service, to look at what it may call; its processes get theirs by its secret",
  arguments: { service: serviceArgument },
  options: { ttl: { value: "time", help: "how long it lives, 1m to 15m (default: 15m)", parse: durationMs } },
  examples: ["muin services token count-write --ttl 5m"],
  call: async ({ service, ttl }, { client }) =>
    client(ServiceTokenService).issueServiceToken({
      serviceName: await knownService(service),
      ...(ttl === undefined ? {} : { ttl: durationFromMs(ttl) }),
    }),
  json: plain(IssueServiceTokenResponseSchema),
  print: (reply, output) => {
    output.print(reply.token);
    output.note(`it ends ${minuteText(reply.expireTime)}`);
  },
});
