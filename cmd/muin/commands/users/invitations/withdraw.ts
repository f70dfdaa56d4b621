import {
  AccountService,
  WithdrawInvitationResponseSchema,
} from "../../../../../internal/gen/muin/identity/v1/account_service_pb.ts";
import { plain } from "../../../remote/plain-message.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";

/** `muin users invitations withdraw`. */
export const withdraw = remoteCommand({
  name: "withdraw",
  description: "withdraw an invitation: its token begins no account",
  arguments: { invitationId: { help: "the invitation, as list names it" } },
  examples: ["muin users invitations withdraw 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55"],
  call: ({ invitationId }, { client }) => client(AccountService).withdrawInvitation({ invitationId }),
  json: plain(WithdrawInvitationResponseSchema),
  print: ({ withdrawn }, output, { invitationId }) =>
    output.print(withdrawn ? `withdrew ${invitationId}` : `${invitationId} is no open invitation`),
});
