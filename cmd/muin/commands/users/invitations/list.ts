import { AccountService, InvitationSchema } from "../../../../../internal/gen/muin/identity/v1/account_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { minuteText } from "../../../terminal/time-text.ts";

/** `muin users invitations list`. */
export const list = remoteCommand({
  name: "list",
  description: "list the invitations that are open, newest first",
  examples: ["muin users invitations list", "muin users invitations list --json"],
  read: async (_given, { client }, page) => {
    const { invitations, nextPageToken } = await client(AccountService).listInvitations(page);
    return { entries: invitations, nextPageToken };
  },
  json: plain(InvitationSchema),
  columns: {
    INVITATION: ({ invitationId }) => invitationId,
    "E-MAIL": ({ email }) => email,
    BY: ({ inviter }) => inviter,
    INVITED: ({ createTime }) => minuteText(createTime),
    ENDS: ({ expireTime }) => minuteText(expireTime),
  },
  none: "no invitation is open",
});
