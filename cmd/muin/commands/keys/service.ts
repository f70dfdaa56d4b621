import { durationFromMs } from "@bufbuild/protobuf/wkt";
import {
  IssueServiceTokenResponseSchema,
  ServiceTokenService,
} from "../../../../internal/gen/muin/identity/v1/service_token_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { minuteText } from "../../terminal/time-text.ts";
import { durationMs } from "../../terminal/values.ts";

/** `muin keys service`. */
export const service = remoteCommand({
  name: "service",
  description: "issue a token by which one of Muin's services knows itself to the others",
  arguments: { service: { help: "name of the service" } },
  options: { ttl: { value: "time", help: "how long it lives, 1m to 366d (default: 30d)", parse: durationMs } },
  examples: ["muin keys service count-write --ttl 7d > count-write.token"],
  call: ({ service: serviceName, ttl }, { client }) =>
    client(ServiceTokenService).issueServiceToken({
      serviceName,
      ...(ttl === undefined ? {} : { ttl: durationFromMs(ttl) }),
    }),
  json: plain(IssueServiceTokenResponseSchema),
  print: ({ token, expireTime }, output, { service: serviceName }) => {
    output.print(token);
    const end = minuteText(expireTime, "never");
    output.note(`it ends ${end}; give it to ${serviceName} with MUIN_SERVICE_TOKEN_FILE`);
  },
});
