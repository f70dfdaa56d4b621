import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import type { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import type { CredentialService } from "../../../gen/muin/identity/v1/credential_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { personOf } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { clientOf } from "../audit/client.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { tokenPairOf } from "../session/handlers.ts";
import type { Recovery } from "./recovery.ts";
import type { Accounts } from "./rules.ts";
import type { SignIns } from "./sign-in.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { AccountStore } from "./store.ts";

/** Serves signing in and changing the password. */
export function createAccountHandlers({
  accounts,
  signIns,
}: {
  readonly accounts: Accounts;
  readonly signIns: SignIns;
}): Pick<ServiceImpl<typeof AuthService>, "signIn" | "completeSignIn" | "changePassword"> {
  return {
    signIn: async (request, context) => {
      const signedIn = orThrow(await signIns.signIn(request, clientOf(context), context.signal));
      const { userId } = signedIn;
      if ("tokens" in signedIn) return { userId, tokens: tokenPairOf(signedIn.tokens) };
      const { text, expireTimeMs } = signedIn.challenge;
      return { userId, challenge: text, challengeExpireTime: timestampFromMs(expireTimeMs) };
    },
    completeSignIn: async (request, context) => {
      const { userId, tokens } = orThrow(await signIns.completeSignIn(request, clientOf(context)));
      return { userId, tokens: tokenPairOf(tokens) };
    },
    changePassword: async (request, context) => {
      const { id, sessionId } = personOf(context);
      const proof = { userId: id, sessionId, password: request.currentPassword };
      orThrow(await accounts.changePassword(proof, request.newPassword, clientOf(context), context.signal));
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
      const found = orThrow(await recovery.credentials(userId));
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
      orThrow(await recovery.sendVerification(personOf(context).id));
      return {};
    },
    verifyEmail: async ({ token }, context) => {
      const { userId, tokens } = orThrow(await recovery.verifyEmail(token, clientOf(context)));
      return tokens === undefined ? { userId } : { userId, tokens: tokenPairOf(tokens) };
    },
    requestPasswordReset: async ({ email }, context) => {
      orThrow(await recovery.requestReset(email, clientOf(context)));
      return {};
    },
    resetPassword: async ({ token, newPassword }, context) => {
      orThrow(await recovery.resetPassword(token, newPassword, clientOf(context), context.signal));
      return {};
    },
  };
}

/** Tells which accounts are to go. */
export function createLapseHandlers(deps: {
  readonly database: Pick<Database, "sql">;
  readonly accounts: Pick<AccountStore, "lapsed">;
  readonly clock: Pick<Clock, "now">;
}): Pick<ServiceImpl<typeof AccountService>, "listLapsedAccounts"> {
  const { database, accounts, clock } = deps;
  return {
    listLapsedAccounts: async (request) => {
      const { page, nextPageToken } = await pageOf(
        ["ListLapsedAccounts"],
        request,
        (after, limit) => accounts.lapsed(database.sql, clock.now(), after, limit),
        (userId) => userId,
        isUuid,
      );
      return { userIds: [...page], nextPageToken };
    },
  };
}
