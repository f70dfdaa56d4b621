import { mkdir, open, rename } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createTransport } from "nodemailer";
import type { Clock } from "../clock/clock.ts";
import { timeout } from "../lifecycle/timeout.ts";
import { isMailAddress, MailRefusedError, type Mail, type Mailer } from "./mailer.ts";

const connectMsMax = 10_000;
const greetingMsMax = 10_000;
const silenceMsMax = 20_000;
/** A server that keeps talking and comes to no end is given up after this. */
const sendMsMax = 60_000;
const submissionPort = 587;
const submissionTlsPort = 465;
const subjectCharsMax = 200;
const textCharsMax = 100_000;

const lineEnd = /[\p{Cc}\u2028\u2029]/u;
const idShape = /^[A-Za-z0-9-]{1,64}$/;

/** A mailer for a URL that `mailUrlField` accepts. Connects to nothing, and makes no folder, before the first mail. */
export function createMailer(config: { readonly mailUrl: string; readonly mailFrom: string }, clock: Clock): Mailer {
  const url = new URL(config.mailUrl);
  const from = config.mailFrom;
  const messageOf = (id: string, { to, subject, text }: Mail) => {
    if (!idShape.test(id)) throw new MailRefusedError("the mail's id cannot stand in a header");
    if (lineEnd.test(subject) || subject.length > subjectCharsMax) {
      throw new MailRefusedError("the subject is not one line of at most 200 characters");
    }
    if (text.length > textCharsMax) throw new MailRefusedError(`the mail has more than ${textCharsMax} characters`);
    if (!isMailAddress(to)) throw new MailRefusedError("a mail goes to one address and nothing else");
    return {
      from: { name: "", address: from },
      to: { name: "", address: to },
      // Whom it goes to is said here and read from no header.
      envelope: { from, to: [to] },
      messageId: `<${id}@${from.slice(from.lastIndexOf("@") + 1)}>`,
      date: new Date(clock.now()),
      subject,
      text: text.replaceAll(/\r?\n/g, "\r\n"), // Lines of a mail end so (RFC 5322).
      // A machine's mail: no out-of-office notes in return (RFC 3834).
      headers: { "Auto-Submitted": "auto-generated" },
      disableFileAccess: true,
      disableUrlAccess: true,
    };
  };
  return url.protocol === "file:" ? folderMailer(url, messageOf) : smtpMailer(url, messageOf, clock);
}

type MessageOf = (id: string, mail: Mail) => Parameters<ReturnType<typeof createTransport>["sendMail"]>[0];

function smtpMailer(url: URL, messageOf: MessageOf, clock: Pick<Clock, "sleep">): Mailer {
  const secure = url.protocol === "smtps:";
  const port = url.port === "" ? (secure ? submissionTlsPort : submissionPort) : Number(url.port);
  const hasPassword = url.password !== "";
  const transport = createTransport({
    host: url.hostname.replaceAll(/[[\]]/g, ""), // An IPv6 address stands in brackets in a URL only.
    port,
    secure,
    requireTLS: !secure && hasPassword,
    connectionTimeout: connectMsMax,
    greetingTimeout: greetingMsMax,
    socketTimeout: silenceMsMax,
    ...(hasPassword
      ? { auth: { user: decodeURIComponent(url.username), pass: decodeURIComponent(url.password) } }
      : {}),
  });
  return {
    destination: `${url.protocol}//${url.hostname}:${port}`,
    send: async (id, mail) => {
      try {
        await timeout(clock, sendMsMax, transport.sendMail(messageOf(id, mail)));
      } catch (error) {
        throw isRefusal(error) ? new MailRefusedError("the mail server refuses the mail", { cause: error }) : error;
      }
    },
  };
}

function folderMailer(url: URL, messageOf: MessageOf): Mailer {
  const folder = fileURLToPath(url);
  const composer = createTransport({ streamTransport: true, buffer: true });
  return {
    destination: folder,
    send: async (id, mail) => {
      const { message } = await composer.sendMail(messageOf(id, mail));
      await mkdir(folder, { recursive: true, mode: 0o700 });
      // Whole or not at all: a reader sees no half mail, and a repeat takes the place of the first.
      const part = join(folder, `.${id}.part`);
      const file = await open(part, "w", 0o600);
      try {
        await file.writeFile(message as Buffer);
        await file.sync();
      } finally {
        await file.close();
      }
      await rename(part, join(folder, `${id}.eml`));
    },
  };
}

/** What the server says of this mail, once and for all (5xx to the envelope or the message); anything else may pass. */
function isRefusal(error: unknown): boolean {
  const { code, responseCode } = error as { readonly code?: unknown; readonly responseCode?: unknown };
  return (code === "EENVELOPE" || code === "EMESSAGE") && typeof responseCode === "number" && responseCode >= 500;
}
