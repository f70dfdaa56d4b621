import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ApiKeyService,
  CreateApiKeyResponseSchema,
} from "../../../../internal/gen/muin/identity/v1/api_key_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { durationMs } from "../../terminal/values.ts";

/** `muin keys create`. */
export const create = remoteCommand({
  name: "create",
  description: "create an API key; its secret is printed once and kept nowhere",
  arguments: { name: { help: "name for people" } },
  options: {
    scope: { value: "scope", help: "what it may do; may be given several times", many: true, required: true },
    expires: { value: "time", help: "when it ends, from now (default: never)", parse: durationMs },
  },
  examples: [
    'muin keys create "Web shop" --scope counts.read --scope counts.write',
    "muin keys create nightly --scope counts.write --expires 30d > key.txt",
  ],
  call: ({ name, scope, expires }, { client, clock }) =>
    client(ApiKeyService).createApiKey({
      displayName: name,
      scopes: [...scope],
      ...(expires === undefined ? {} : { expireTime: timestampFromMs(clock.now() + expires) }),
    }),
  json: plain(CreateApiKeyResponseSchema),
  print: ({ secret, apiKey }, output) => {
    output.print(secret);
    output.note(`this is the secret of key ${apiKey?.apiKeyId ?? ""}; it is not shown again`);
  },
});
