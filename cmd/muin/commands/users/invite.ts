import { AccountService, InvitationSchema } from "../../../../internal/gen/muin/identity/v1/account_service_pb.ts";
import { plain } from "../../remote/plain-message.ts";
import { remoteCommand } from "../../remote/remote-command.ts";
import { Failure } from "../../terminal/failure.ts";
import { minuteText } from "../../terminal/time-text.ts";

/** `muin users invite`. */
export const invite = remoteCommand({
  name: "invite",
  description: "invite somebody: a mail lets them choose a password and have an account",
  arguments: { email: { help: "their e-mail address" } },
  examples: ["muin users invite ada@example.org"],
  call: async ({ email }, { client, repeat, random }) => {
    const request = { email, requestId: random.uuid() };
    const { invitation } = await repeat(() => client(AccountService).inviteUser(request));
    if (invitation === undefined) throw new Failure("failed", "there is no invitation in the reply");
    return invitation;
  },
  json: plain(InvitationSchema),
  print: ({ email, expireTime }, output) =>
    output.print(`${email} is invited by mail; the invitation ends at ${minuteText(expireTime)}`),
});
