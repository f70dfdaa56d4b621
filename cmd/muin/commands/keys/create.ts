import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  ApiKeyService,
  CreateApiKeyResponseSchema,
} from "../../../../internal/gen/muin/identity/v1/api_key_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { minuteText } from "../../terminal/time-text.ts";
import { durationMs, wholeNumber } from "../../terminal/values.ts";

const dayMs = 86_400_000;

/** `muin keys create`. */
export const create = remoteCommand({
  name: "create",
  description: "create an API key; its secret is printed once and kept nowhere",
  arguments: { name: { help: "name for people" } },
  options: {
    scope: { value: "scope", help: "what it may do; may be given several times", many: true, required: true },
    days: { value: "number", help: "after how many days it ends (default: 90)", parse: wholeNumber(1, 36_500) },
    expires: { value: "time", help: "when it ends, from now, such as 12h", parse: durationMs },
    end: { help: "the key has no end, until it is revoked or its owner is suspended", default: true },
  },
  examples: [
    'muin keys create "Web shop" --scope counts.read --scope counts.write',
    "muin keys create nightly --scope counts.write --days 30 > key.txt",
    "muin keys create door-panel --scope counts.read --no-end",
  ],
  call: ({ name, scope, days, expires, end }, { client, clock }) => {
    const given = [days !== undefined, expires !== undefined, !end].filter((isGiven) => isGiven);
    if (given.length > 1) throw new Failure("usage", "give one of --days, --expires and --no-end");
    const lifeMs = expires ?? (days === undefined ? undefined : days * dayMs);
    return client(ApiKeyService).createApiKey({
      displayName: name,
      scopes: [...scope],
      noEnd: !end,
      ...(lifeMs === undefined ? {} : { expireTime: timestampFromMs(clock.now() + lifeMs) }),
    });
  },
  json: plain(CreateApiKeyResponseSchema),
  print: ({ secret, apiKey }, output) => {
    output.print(secret);
    const end = apiKey?.expireTime === undefined ? "has no end" : `ends ${minuteText(apiKey.expireTime)}`;
    output.note(`this is the secret of key ${apiKey?.apiKeyId ?? ""}, which ${end}; it is not shown again`);
  },
});
