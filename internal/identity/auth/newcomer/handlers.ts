import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { AccountService, InvitationSchema } from "../../../gen/muin/identity/v1/account_service_pb.ts";
import type { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { clientOf } from "../audit/client.ts";
import { tokenPairOf } from "../session/handlers.ts";
import type { Invitations } from "./invitations.ts";
import type { Newcomers } from "./rules.ts";
import type { Invited } from "./store.ts";

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

/** Serves invitations. */
export function createInvitationHandlers(
  newcomers: Pick<Newcomers, "invite">,
  invitations: Invitations,
): Omit<ServiceImpl<typeof AccountService>, "listLapsedAccounts"> {
  return {
    inviteUser: async (request, context) => {
      return { invitation: messageOf(orThrow(await newcomers.invite(request, clientOf(context)))) };
    },
    listInvitations: async (request) => {
      const { page, nextPageToken } = await invitations.list(request);
      return { invitations: page.map(messageOf), nextPageToken };
    },
    withdrawInvitation: async ({ invitationId }, context) => ({
      withdrawn: await invitations.withdraw(invitationId, clientOf(context)),
    }),
  };
}

function messageOf({
  newcomerId,
  email,
  createTimeMs,
  expireTimeMs,
  inviter,
}: Invited): MessageInitShape<typeof InvitationSchema> {
  return {
    invitationId: newcomerId,
    email,
    createTime: timestampFromMs(createTimeMs),
    expireTime: timestampFromMs(expireTimeMs),
    inviter,
  };
}
