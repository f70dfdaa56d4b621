import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { personOf } from "../../platform/identity/caller.ts";
import type { Accounts } from "./account.ts";
import { clientOf } from "./client.ts";
import { badCredentials } from "./errors.ts";
import type { Recovery } from "./recovery.ts";
import { base32, totpUri } from "./totp.ts";

/** What authenticator apps show beside the code. */
const appIssuer = "Muin";

/** Serves what protects a person's own account. */
export function createCredentialHandlers(deps: {
  readonly accounts: Accounts;
  readonly recovery: Recovery;
}): ServiceImpl<typeof CredentialService> {
  const { accounts, recovery } = deps;
  return {
    getCredentials: async (_request, context) => {
      const userId = personOf(context).id;
      const found = await recovery.credentials(userId);
      if (found === undefined) throw badCredentials();
      const { email, emailVerifyTimeMs, totpEnabled, recoveryCodesLeft, createTimeMs } = found;
      return {
        credentials: {
          userId,
          email,
          ...(emailVerifyTimeMs === undefined ? {} : { emailVerifyTime: timestampFromMs(emailVerifyTimeMs) }),
          totpEnabled,
          recoveryCodesLeft,
          createTime: timestampFromMs(createTimeMs),
        },
      };
    },
    sendEmailVerification: async (_request, context) => {
      await recovery.sendVerification(personOf(context).id);
      return {};
    },
    verifyEmail: async ({ token }, context) => {
      await recovery.verifyEmail(token, clientOf(context));
      return {};
    },
    requestPasswordReset: async ({ email }, context) => {
      await recovery.requestReset(email, clientOf(context));
      return {};
    },
    resetPassword: async ({ token, newPassword }, context) => {
      await recovery.resetPassword(token, newPassword, clientOf(context), context.signal);
      return {};
    },
    beginTotp: async ({ currentPassword }, context) => {
      const proof = { userId: personOf(context).id, password: currentPassword };
      const { secret, email } = await accounts.beginTotp(proof, clientOf(context), context.signal);
      return { secret: base32(secret), uri: totpUri(secret, appIssuer, email) };
    },
    confirmTotp: async ({ code }, context) => ({
      recoveryCodes: [...(await accounts.confirmTotp(personOf(context).id, code, clientOf(context)))],
    }),
    disableTotp: async ({ currentPassword, code }, context) => {
      const proof = { userId: personOf(context).id, password: currentPassword };
      await accounts.disableTotp(proof, code, clientOf(context), context.signal);
      return {};
    },
    resetTotp: async ({ userId }, context) => {
      await accounts.resetTotp(userId, clientOf(context));
      return {};
    },
  };
}
