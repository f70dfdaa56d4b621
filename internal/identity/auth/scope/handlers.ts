import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { PersonScopesSchema, ScopeService } from "../../../gen/muin/identity/v1/scope_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import { isRefusal, orThrow } from "../../../platform/errors/refusal.ts";
import { rolesGiving } from "../../shared/role.ts";
import type { PersonScopes, ScopeChange, Scopes } from "./rules.ts";
import { scopes as knownScopes } from "../../../gen/scopes.ts";

/** Serves the administration of scopes. */
export function createScopeHandlers(scopes: Scopes): ServiceImpl<typeof ScopeService> {
  return {
    listScopes: () => ({ scopes: knownScopes.map((scope) => ({ scope, roles: [...rolesGiving(scope)] })) }),
    getScopes: async ({ userId }) => ({ personScopes: messageOf(orThrow(await scopes.get(userId))) }),
    getHeldScopes: async ({ userId }) => {
      const held = await scopes.get(userId);
      return { scopes: isRefusal(held) ? [] : [...held.scopes] };
    },
    grantScopes: async (request, context) => ({
      personScopes: messageOf(orThrow(await scopes.grant(changeOf(request, context), clientOf(context)))),
    }),
    revokeScopes: async (request, context) => ({
      personScopes: messageOf(orThrow(await scopes.revoke(changeOf(request, context), clientOf(context)))),
    }),
  };
}

function changeOf(
  { userId, scopes }: { readonly userId: string; readonly scopes: readonly string[] },
  context: HandlerContext,
): ScopeChange {
  return { userId, scopes, caller: callerOf(context) };
}

function messageOf({ userId, scopes, granted, byRole }: PersonScopes): MessageInitShape<typeof PersonScopesSchema> {
  return { userId, scopes: [...scopes], grantedScopes: [...granted], roleScopes: [...byRole] };
}
