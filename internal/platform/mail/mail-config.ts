import { text, url, type ConfigField } from "../config/fields.ts";
import { isMailbox } from "./mailer.ts";

const from = text("MAIL_FROM", { doc: "Address that mails come from.", default: "muin@localhost" });

const mailUrl = url("MAIL_URL", {
  schemes: ["smtp", "smtps", "file"],
  doc: "Where mails go: smtps://user:password@host (TLS), smtp://user:password@host (STARTTLS, demanded), smtp://host on this machine (elsewhere only where plain text is said to be meant), or a folder, file:///path, that gets one .eml file for each.",
});

/** Where mails go: `MUIN_MAIL_URL`, whichever service declares it. A standalone Muin sets it to a folder beside its data. */
export const mailUrlField: ConfigField<string> = {
  ...mailUrl,
  parse: (text) => {
    const value = mailUrl.parse(text);
    // Without a host the driver would look for a server on this machine.
    return value !== undefined && (value.startsWith("file:") || new URL(value).hostname !== "") ? value : undefined;
  },
  isShared: true,
};

/** Whom mails come from: `MUIN_MAIL_FROM`. */
export const mailFromField: ConfigField<string> = {
  ...from,
  accepts: "an e-mail address",
  parse: (value) => (isMailbox(value) ? value : undefined),
  isShared: true,
};
