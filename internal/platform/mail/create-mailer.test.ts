import { describe, expect, test } from "bun:test";
import { mkdtemp, readdir, rm } from "node:fs/promises";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { SMTPServer, type SMTPServerOptions } from "smtp-server";
import { systemClock } from "../clock/clock.ts";
import { readConfig } from "../config/read-config.ts";
import { eventually } from "../testing/eventually.ts";
import { createMailer } from "./create-mailer.ts";
import { mailFromField, mailUrlField } from "./mail-config.ts";
import { MailRefusedError, type Mail, type Mailer } from "./mailer.ts";

const mail: Mail = { to: "ada@example.org", subject: "Grüße, 안녕", text: "one\n.\ntwo: π\n" };
const mailerTo = (mailUrl: string): Mailer => createMailer({ mailUrl, mailFrom: "muin@example.net" }, systemClock);

interface Received {
  readonly from: string;
  readonly to: readonly string[];
  readonly user: string | undefined;
  readonly secure: boolean;
  readonly text: string;
}

/** A real SMTP server on the loopback. */
async function startServer(
  options: SMTPServerOptions = {},
): Promise<AsyncDisposable & { readonly host: string; readonly received: Received[] }> {
  const received: Received[] = [];
  const server = new SMTPServer({
    disabledCommands: ["STARTTLS"],
    authOptional: true,
    logger: false,
    onAuth: ({ username, password }, _, callback) =>
      password === "p@ss:word" ? callback(null, { user: username }) : callback(new Error("wrong")),
    onData: (stream, session, callback) => {
      const chunks: Buffer[] = [];
      stream.on("data", (chunk: Buffer) => chunks.push(chunk));
      stream.on("end", () => {
        const { mailFrom, rcptTo } = session.envelope;
        received.push({
          from: mailFrom === false ? "" : mailFrom.address,
          to: rcptTo.map(({ address }) => address),
          user: session.user,
          secure: session.secure,
          text: Buffer.concat(chunks).toString(),
        });
        callback();
      });
    },
    ...options,
  });
  await new Promise<void>((resolve) => void server.listen(0, "127.0.0.1", resolve));
  server.on("error", () => undefined); // A client that goes away in the middle is what some tests are about.
  return {
    host: `127.0.0.1:${(server.server.address() as AddressInfo).port}`,
    received,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(resolve)),
  };
}

const withPassword = (host: string): string => `smtp://muin:p%40ss%3Aword@${host}`;

const failureOf = async (sending: Promise<void>): Promise<string> =>
  sending.then(
    () => "sent",
    (error: unknown) => (error instanceof MailRefusedError ? "refused" : "failed"),
  );

describe("by SMTP", () => {
  test("the server gets one mail for one recipient, whole, with its id", async () => {
    await using server = await startServer();
    await mailerTo(`smtp://${server.host}`).send("0199-a", mail);
    expect(server.received).toMatchObject([{ from: "muin@example.net", to: ["ada@example.org"], secure: false }]);
    const { text } = server.received[0]!;
    for (const line of [
      "From: muin@example.net",
      "To: ada@example.org",
      "Subject: =?UTF-8?",
      "Message-ID: <0199-a@example.net>",
      "Auto-Submitted: auto-generated",
      "\r\none\r\n.\r\ntwo: =CF=80\r\n",
    ]) {
      expect(text).toContain(line);
    }
  });

  test("a compiled binary sends it too", async () => {
    const folder = await mkdtemp(join(tmpdir(), "muin-mail-"));
    try {
      const source = join(folder, "send.ts");
      const binary = join(folder, "send");
      await Bun.write(
        source,
        `import { eventually } from "../testing/eventually.ts";
import { createMailer } from ${JSON.stringify(join(import.meta.dir, "create-mailer.ts"))};
         import { systemClock } from ${JSON.stringify(join(import.meta.dir, "../clock/clock.ts"))};
         const mailer = createMailer({ mailUrl: Bun.argv.at(-1), mailFrom: "muin@example.net" }, systemClock);
         await mailer.send("0199-c", { to: "ada@example.org", subject: "compiled", text: "π" });`,
      );
      const build = Bun.spawnSync([process.execPath, "build", "--compile", source, "--outfile", binary]);
      expect(build.exitCode).toBe(0);
      await using server = await startServer();
      const sending = Bun.spawn([binary, `smtp://${server.host}`], { cwd: folder, env: {} });
      expect(await sending.exited).toBe(0);
      expect(server.received).toMatchObject([{ to: ["ada@example.org"] }]);
    } finally {
      await rm(folder, { recursive: true });
    }
  }, 30_000);

  test("a password goes over TLS or not at all", async () => {
    await using plain = await startServer({ allowInsecureAuth: true });
    const mailer = mailerTo(withPassword(plain.host));
    expect(mailer.destination).toBe(`smtp://${plain.host}`);
    expect(await failureOf(mailer.send("1", mail))).toBe("failed");
    expect(plain.received).toEqual([]);
    // The server's certificate is its own: encrypted is not enough.
    await using encrypted = await startServer({ disabledCommands: [] });
    expect(await failureOf(mailerTo(withPassword(encrypted.host)).send("1", mail))).toBe("failed");
    expect(encrypted.received).toEqual([]);
  });

  test.each([
    ["a recipient that is refused for good", 550, "refused"],
    ["a recipient that is refused for now", 450, "failed"],
  ])("%s", async (_, responseCode, outcome) => {
    await using server = await startServer({
      onRcptTo: (_address, _session, callback) => callback(Object.assign(new Error("no"), { responseCode })),
    });
    expect(await failureOf(mailerTo(`smtp://${server.host}`).send("1", mail))).toBe(outcome);
  });

  test("a server that comes to no end is given up, and may get the mail again", async () => {
    let finish: (() => void) | undefined;
    await using server = await startServer({
      onData: (stream, _, callback) => {
        stream.resume();
        finish = callback;
      },
    });
    const late = Promise.withResolvers<void>();
    const clock = { ...systemClock, sleep: () => late.promise };
    const config = { mailUrl: `smtp://${server.host}`, mailFrom: "muin@example.net" };
    const sending = failureOf(createMailer(config, clock).send("a", mail));
    await eventually(() => expect(finish).toBeDefined());
    late.resolve();
    expect(await sending).toBe("failed");
    finish?.();
  });

  test("a server that is away, or busy, may take it later", async () => {
    const server = await startServer();
    const mailer = mailerTo(`smtp://${server.host}`);
    await server[Symbol.asyncDispose]();
    expect(await failureOf(mailer.send("1", mail))).toBe("failed");
    await using busy = await startServer({
      onData: (_stream, _session, callback) => callback(Object.assign(new Error("later"), { responseCode: 451 })),
    });
    expect(await failureOf(mailerTo(`smtp://${busy.host}`).send("1", mail))).toBe("failed");
  });
});

describe("to a folder", () => {
  test("each mail is a file, once, that nobody else reads", async () => {
    const folder = await mkdtemp(join(tmpdir(), "muin-mail-"));
    try {
      const mailer = mailerTo(pathToFileURL(join(folder, "a b", "mail")).href);
      expect(mailer.destination).toBe(join(folder, "a b", "mail"));
      for (const id of ["0199-a", "0199-b", "0199-a"]) await mailer.send(id, mail);
      expect((await readdir(mailer.destination)).toSorted()).toEqual(["0199-a.eml", "0199-b.eml"]);
      const file = Bun.file(join(mailer.destination, "0199-a.eml"));
      expect(await file.text()).toContain("To: ada@example.org");
      expect(await file.text()).not.toMatch(/[^\r]\n/);
      expect((await file.stat()).mode & 0o077).toBe(0);
    } finally {
      await rm(folder, { recursive: true });
    }
  });
});

describe("no header can be put in by the way", () => {
  const injections: readonly (readonly [what: string, id: string, change: Partial<Mail>])[] = [
    ["a line end in the address", "1", { to: "ada@example.org\r\nBcc: eve@example.org" }],
    ["a bare line feed in the address", "1", { to: "ada@example.org\nBcc:eve@example.org" }],
    ["a separator of Unicode in the address", "1", { to: "ada\u2028Bcc:@example.org" }],
    ["a zero in the address", "1", { to: "ada\0@example.org" }],
    ["a second address", "1", { to: "ada@example.org,eve@example.org" }],
    ["a group of addresses", "1", { to: "all:ada@example.org,eve@example.org;" }],
    ["a name with an address", "1", { to: "Ada <eve@example.org>" }],
    ["a quoted address", "1", { to: '"eve@example.org, ada"@example.org' }],
    ["a domain that is no name", "1", { to: "ada@exa\u2024mple.org" }],
    ["no address", "1", { to: "" }],
    ["a line end in the subject", "1", { subject: "Hello\r\nBcc: eve@example.org" }],
    ["a bare line feed in the subject", "1", { subject: "Hello\nBcc: eve@example.org" }],
    ["a next-line sign in the subject", "1", { subject: "Hello\u0085Bcc: eve@example.org" }],
    ["a separator of Unicode in the subject", "1", { subject: "Hello\u2029Bcc: eve@example.org" }],
    ["a line end in the id", "1\r\nBcc: eve@example.org", {}],
    ["a path in the id", "../../1", {}],
  ];

  test.each(injections)("%s", async (_, id, change) => {
    await using server = await startServer();
    expect(await failureOf(mailerTo(`smtp://${server.host}`).send(id, { ...mail, ...change }))).toBe("refused");
    expect(server.received).toEqual([]);
  });

  test.each(["smtp://", "smtps://ada:secret@", "smtp:///mail.example.org", "smtp://mail.example.org\n"])(
    "nor does MUIN_MAIL_URL %p name a server",
    (mailUrl) => {
      expect(() => readConfig("auth", { mailUrl: mailUrlField }, { MUIN_MAIL_URL: mailUrl })).toThrow("MUIN_MAIL_URL");
    },
  );

  test("what looks like headers in the text stays text", async () => {
    await using server = await startServer();
    const text = "\r\nBcc: eve@example.org\r\n.\r\nRCPT TO:<eve@example.org>\r\n";
    await mailerTo(`smtp://${server.host}`).send("1", { ...mail, text });
    expect(server.received).toMatchObject([{ to: ["ada@example.org"] }]);
    const [head = ""] = server.received[0]!.text.split("\r\n\r\n");
    expect(head).not.toContain("eve");
  });

  test.each([
    "muin@example.net\r\nBcc: x",
    "Muin <muin@example.net>",
    "a@b,c@d",
    "muin",
    "muin@example..net",
    "muin@127.0.0.1",
    ".muin@example.net",
  ])("nor by the setting MUIN_MAIL_FROM: %p", (from) => {
    const fields = { mailUrl: mailUrlField, mailFrom: mailFromField };
    const env = { MUIN_MAIL_URL: "smtp://127.0.0.1", MUIN_MAIL_FROM: from };
    expect(() => readConfig("auth", fields, env)).toThrow("MUIN_MAIL_FROM");
  });
});
