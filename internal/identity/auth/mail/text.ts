import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { Mail } from "../../../platform/mail/mailer.ts";
import type { MailKind } from "./store.ts";

/** What a mail may say: what it asks for by its kind, and what there is to say where somebody signs up. */
export type MailText = MailKind | "SIGN_UP" | "HAS_ACCOUNT";

/** What the mail says. Nothing that somebody else chose stands in it; nor does the token where there is nothing to do with one. */
export function textOf(kind: MailText, token: string): Pick<Mail, "subject" | "text"> {
  switch (kind) {
    case "SIGN_UP":
      return {
        subject: "Verify your e-mail address",
        text: [
          "Somebody has signed up for an account with Muin with this address and a password.",
          "If it was you, begin the account with this token, within 7 days:",
          token,
          "If it was not, do not use it: whoever did knows the password. Without it no account begins.",
          "",
        ].join("\n\n"),
      };
    case "HAS_ACCOUNT":
      return {
        subject: "You have an account",
        text: [
          "Somebody has signed up for an account with Muin with this address, which has one already.",
          "If it was you, sign in, or ask for a new password. If it was not, there is nothing to do: your account is as it was.",
          "",
        ].join("\n\n"),
      };
    case "ACCEPT_INVITATION":
      return {
        subject: "You are invited",
        text: [
          "You are invited to have an account with Muin.",
          "Accept with this token, within 7 days, and choose a password:",
          token,
          "If you do not want one, there is nothing to do.",
          "",
        ].join("\n\n"),
      };
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
