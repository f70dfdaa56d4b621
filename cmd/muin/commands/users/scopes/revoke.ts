import { ScopeService } from "../../../../../internal/gen/muin/identity/v1/scope_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { userArgument, userIdOf } from "../person.ts";
import { changedScopesShown } from "./person-scopes.ts";

/** `muin users scopes revoke`. */
export const revoke = remoteCommand({
  name: "revoke",
  description: "take back scopes that a person was given; what a role gives stays",
  arguments: { user: userArgument, scope: { help: "the scopes", many: true } },
  examples: ["muin users scopes revoke ada@example.org counts.read users.read"],
  call: async ({ user, scope }, muin) => {
    const request = { userId: await userIdOf(user, muin), scopes: [...scope] };
    return (await muin.client(ScopeService).revokeScopes(request)).personScopes;
  },
  ...changedScopesShown,
});
