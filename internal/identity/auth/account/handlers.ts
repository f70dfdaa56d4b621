import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import { personOf } from "../../../platform/identity/caller.ts";
import { clientOf } from "../audit/client.ts";
import { badCredentials } from "../errors.ts";
import { tokenPairOf } from "../session/handlers.ts";
import type { Recovery } from "./recovery.ts";
import type { Accounts } from "./rules.ts";

/** Serves signing up, signing in and changing the password. */
export function createAccountHandlers(
  accounts: Accounts,
): Pick<ServiceImpl<typeof AuthService>, "signUp" | "signIn" | "completeSignIn" | "changePassword"> {
  return {
    signUp: async (request, context) => {
      const { userId, tokens } = await accounts.signUp(request, clientOf(context), context.signal);
      return { userId, tokens: tokenPairOf(tokens) };
    },
    signIn: async (request, context) => {
      const signedIn = await accounts.signIn(request, clientOf(context), context.signal);
      const { userId } = signedIn;
      if ("tokens" in signedIn) return { userId, tokens: tokenPairOf(signedIn.tokens) };
      const { text, expireTimeMs } = signedIn.challenge;
      return { userId, challenge: text, challengeExpireTime: timestampFromMs(expireTimeMs) };
    },
    completeSignIn: async (request, context) => {
      const { userId, tokens } = await accounts.completeSignIn(request, clientOf(context));
      return { userId, tokens: tokenPairOf(tokens) };
    },
    changePassword: async (request, context) => {
      const person = personOf(context);
      await accounts.changePassword(
        { userId: person.id, sessionId: person.sessionId, password: request.currentPassword },
        request.newPassword,
        clientOf(context),
        context.signal,
      );
      return {};
    },
  };
}

/** Serves what an account's owner sees of it, and what is done by mail to its address. */
export function createRecoveryHandlers(
  recovery: Recovery,
): Pick<
  ServiceImpl<typeof CredentialService>,
  "getCredentials" | "sendEmailVerification" | "verifyEmail" | "requestPasswordReset" | "resetPassword"
> {
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
  };
}
