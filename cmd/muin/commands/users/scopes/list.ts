import { ScopeSchema, ScopeService } from "../../../../../internal/gen/muin/identity/v1/scope_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";

/** `muin users scopes list`. */
export const list = remoteCommand({
  name: "list",
  description: "list every scope there is, and the roles that give it",
  examples: ["muin users scopes list"],
  read: async (_given, { client }) => {
    const { scopes } = await client(ScopeService).listScopes({});
    return { entries: scopes, nextPageToken: "" };
  },
  json: plain(ScopeSchema),
  columns: { SCOPE: ({ scope }) => scope, ROLES: ({ roles }) => roles.join(" ") },
  none: "there are no scopes",
});
