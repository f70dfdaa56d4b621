import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccountService } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import type { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { clientOf } from "../audit/client.ts";
import { tokenPairOf } from "../session/handlers.ts";
import type { Newcomers } from "./rules.ts";

/** Serves signing up and accepting an invitation. */
export function createNewcomerHandlers(
  newcomers: Newcomers,
): Pick<ServiceImpl<typeof AuthService>, "signUp" | "acceptInvitation"> {
  return {
    signUp: async (request, context) => {
      orThrow(await newcomers.signUp(request, clientOf(context), context.signal));
      return { accepted: true };
    },
    acceptInvitation: async (request, context) => {
      const { userId, tokens } = orThrow(await newcomers.accept(request, clientOf(context), context.signal));
      return { userId, tokens: tokenPairOf(tokens) };
    },
  };
}

/** Serves inviting people. */
export function createInvitationHandlers(newcomers: Newcomers): Pick<ServiceImpl<typeof AccountService>, "inviteUser"> {
  return {
    inviteUser: async (request, context) => {
      const { newcomerId, email, createTimeMs, expireTimeMs } = orThrow(
        await newcomers.invite(request, clientOf(context)),
      );
      return {
        invitation: {
          invitationId: newcomerId,
          email,
          createTime: timestampFromMs(createTimeMs),
          expireTime: timestampFromMs(expireTimeMs),
        },
      };
    },
  };
}
