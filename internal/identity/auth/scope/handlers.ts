import type { MessageInitShape } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { PersonScopesSchema, type ScopeService } from "../../../gen/muin/identity/v1/scope_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import { scopesHeldBy } from "../request.ts";
import { rolesGiving } from "./role.ts";
import { scopes as knownScopes } from "../../../gen/scopes.ts";
import type { PersonScopes, Scopes } from "./rules.ts";

/** Serves the administration of scopes. */
export function createScopeHandlers(scopes: Scopes): ServiceImpl<typeof ScopeService> {
  return {
    listScopes: () => ({ scopes: knownScopes.map((scope) => ({ scope, roles: [...rolesGiving(scope)] })) }),
    getScopes: async ({ userId }) => ({ personScopes: messageOf(await scopes.get(userId)) }),
    grantScopes: async (request, context) => {
      const held = scopesHeldBy(callerOf(context));
      return { personScopes: messageOf(await scopes.grant(request.userId, request.scopes, held, clientOf(context))) };
    },
    revokeScopes: async (request, context) => {
      const held = scopesHeldBy(callerOf(context));
      return { personScopes: messageOf(await scopes.revoke(request.userId, request.scopes, held, clientOf(context))) };
    },
  };
}

function messageOf({ userId, scopes, granted, byRole }: PersonScopes): MessageInitShape<typeof PersonScopesSchema> {
  return { userId, scopes: [...scopes], grantedScopes: [...granted], roleScopes: [...byRole] };
}
