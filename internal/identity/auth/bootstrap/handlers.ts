import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { ServiceTokenService } from "../../../gen/muin/identity/v1/service_token_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { scopesOfCaller } from "../../../platform/resource/caller-scopes.ts";
import { clientOf } from "../audit/client.ts";
import { isWithdrawn, type BootstrapSecrets } from "./rules.ts";
import type { BootstrapSecret } from "./store.ts";

/** Serves bootstrap secrets, and the tokens that they get. */
export function createBootstrapHandlers(
  secrets: BootstrapSecrets,
): Pick<
  ServiceImpl<typeof ServiceTokenService>,
  "issueBootstrapSecret" | "listBootstrapSecrets" | "withdrawService" | "renewServiceToken"
> {
  return {
    issueBootstrapSecret: async ({ serviceName }, context) => {
      const held = scopesOfCaller(callerOf(context));
      return { secret: orThrow(await secrets.issue(serviceName, held, clientOf(context))) };
    },
    listBootstrapSecrets: async () => ({ bootstrapSecrets: (await secrets.list()).map(messageOf) }),
    withdrawService: async ({ serviceName }, context) => {
      const held = scopesOfCaller(callerOf(context));
      orThrow(await secrets.withdraw(serviceName, held, clientOf(context)));
      return {};
    },
    renewServiceToken: async ({ secret }, context) => {
      const { token, issueTimeMs, expireTimeMs } = orThrow(await secrets.renew(secret, clientOf(context)));
      return { token, issueTime: timestampFromMs(issueTimeMs), expireTime: timestampFromMs(expireTimeMs) };
    },
  };
}

function messageOf(secret: BootstrapSecret) {
  const { serviceName, issueTimeMs, renewTimeMs, withdrawTimeMs } = secret;
  return {
    serviceName,
    issueTime: timestampFromMs(issueTimeMs),
    ...(renewTimeMs === undefined ? {} : { renewTime: timestampFromMs(renewTimeMs) }),
    ...(isWithdrawn(secret) && withdrawTimeMs !== undefined ? { withdrawTime: timestampFromMs(withdrawTimeMs) } : {}),
  };
}
