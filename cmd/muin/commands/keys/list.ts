import { ApiKeySchema, ApiKeyService } from "../../../../internal/gen/muin/identity/v1/api_key_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { minuteText } from "../../terminal/time-text.ts";

/** `muin keys list`. */
export const list = remoteCommand({
  name: "list",
  description: "list API keys, newest first, without their secrets",
  options: { all: { help: "revoked and expired ones too" } },
  examples: ["muin keys list", "muin keys list --all --json"],
  read: async ({ all }, { client }, page) => {
    const reply = await client(ApiKeyService).listApiKeys({ ...page, showEnded: all === true });
    return { entries: reply.apiKeys, nextPageToken: reply.nextPageToken };
  },
  json: plain(ApiKeySchema),
  columns: {
    KEY: ({ apiKeyId }) => apiKeyId,
    NAME: ({ displayName }) => displayName,
    OWNER: ({ ownerId }) => ownerId,
    SCOPES: ({ scopes }) => scopes.join(" "),
    CREATED: ({ createTime }) => minuteText(createTime),
    "LAST USED": ({ useTime }) => minuteText(useTime, "never"),
    ENDS: ({ revokeTime, expireTime }) =>
      revokeTime === undefined ? minuteText(expireTime, "no end") : `revoked ${minuteText(revokeTime)}`,
  },
  none: "there are no keys",
});
