import type { ServiceImpl } from "@connectrpc/connect";
import type { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { callerOf, personOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { Factors } from "./rules.ts";
import { base32, totpUri } from "./totp.ts";

/** What authenticator apps show beside the code. */
const appIssuer = "Muin";

/** Serves second factors. */
export function createFactorHandlers(
  factors: Factors,
): Pick<ServiceImpl<typeof CredentialService>, "beginTotp" | "confirmTotp" | "disableTotp" | "resetTotp"> {
  return {
    beginTotp: async ({ currentPassword }, context) => {
      const proof = { userId: personOf(context).id, password: currentPassword };
      const { secret, email } = orThrow(await factors.begin(proof, clientOf(context), context.signal));
      return { secret: base32(secret), uri: totpUri(secret, appIssuer, email) };
    },
    confirmTotp: async ({ code }, context) => ({
      recoveryCodes: [...orThrow(await factors.confirm(personOf(context).id, code, clientOf(context)))],
    }),
    disableTotp: async ({ currentPassword, code }, context) => {
      const proof = { userId: personOf(context).id, password: currentPassword };
      orThrow(await factors.disable(proof, code, clientOf(context), context.signal));
      return {};
    },
    resetTotp: async ({ userId }, context) => {
      orThrow(await factors.reset(userId, callerOf(context), clientOf(context)));
      return {};
    },
  };
}
