import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { Mail } from "../../../platform/mail/mailer.ts";
import type { MailKind } from "./store.ts";

/** What the mail says. Nothing that somebody else chose stands in it. */
export function textOf(kind: MailKind, token: string): Pick<Mail, "subject" | "text"> {
  switch (kind) {
    case "VERIFY_EMAIL":
      return {
        subject: "Verify your e-mail address",
        text: [
          "Somebody has given this address for their account with Muin.",
          "If it was you, verify it with this token, within 24 hours:",
          token,
          "If it was not, there is nothing to do.",
          "",
        ].join("\n\n"),
      };
    case "RESET_PASSWORD":
      return {
        subject: "Set a new password",
        text: [
          "Somebody has asked to set a new password for your account with Muin.",
          "If it was you, set one with this token, within an hour:",
          token,
          "If it was not, there is nothing to do: your password stays as it is.",
          "",
        ].join("\n\n"),
      };
    default:
      return assertNever(kind);
  }
}
