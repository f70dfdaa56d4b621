import { ApiKeyService } from "../../../../internal/gen/muin/identity/v1/api_key_service_pb.ts";
import { remoteCommand } from "../../remote/remote-command.ts";

/** `muin keys revoke`. */
export const revoke = remoteCommand({
  name: "revoke",
  description: "end an API key, everywhere within a second",
  arguments: { keyId: { help: "the key, as keys list names it" } },
  examples: ["muin keys revoke 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: ({ keyId }, { client }) => client(ApiKeyService).revokeApiKey({ apiKeyId: keyId }),
  json: (_reply, { keyId }) => ({ api_key_id: keyId, revoked: true }),
  print: (_reply, output, { keyId }) => output.print(`revoked ${keyId}`),
});
