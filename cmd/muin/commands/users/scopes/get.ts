import { ScopeService } from "../../../../../internal/gen/muin/identity/v1/scope_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { userArgument, userIdOf } from "../person.ts";
import { scopesShown } from "./person-scopes.ts";

/** `muin users scopes get`. */
export const get = remoteCommand({
  name: "get",
  description: "tell what a person may do, and why",
  arguments: { user: userArgument },
  examples: ["muin users scopes get ada@example.org"],
  call: async ({ user }, muin) =>
    (await muin.client(ScopeService).getScopes({ userId: await userIdOf(user, muin) })).personScopes,
  ...scopesShown,
});
