import { afterAll, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { createTestIssuer } from "../testing/certificates.ts";
import { eventually } from "../testing/eventually.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { speakTls } from "../testing/postgres-tls.ts";
import { startPostgres, type TestPostgres } from "../testing/postgres.ts";
import { migrate } from "./migrate.ts";
import { openDatabase } from "./open-database.ts";
import type { Logger } from "../telemetry/logger.ts";

const log: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => log };
const issuer = await createTestIssuer();
/** The server reads its files again a moment after it was told to. */
const shownMs = { timeoutMs: 5000 };
let server: TestPostgres;
let database: string;
beforeAll(async () => {
  server = await startPostgres();
  database = await server.createDatabase();
});
afterAll(async () => {
  await server.stop();
  issuer[Symbol.dispose]();
});

function urlWith({ host = "localhost", mode = "verify-full", caFile = issuer.caFile } = {}): string {
  const url = new URL(database);
  url.hostname = host;
  url.searchParams.set("sslmode", mode);
  if (caFile !== "") url.searchParams.set("sslrootcert", caFile);
  return url.href;
}

async function answerOf(url: string, open: typeof openDatabase): Promise<string> {
  const opened = open({ url, applicationName: "test", poolMax: 1 });
  await opened.start();
  try {
    const problem = await opened.probe();
    if (problem !== undefined) return problem;
    const [row] = await opened.sql<{ ssl: boolean }[]>`SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()`;
    return row?.ssl === true ? "over TLS" : "plain";
  } finally {
    await opened.stop();
  }
}

async function expectTrust(open: typeof openDatabase): Promise<void> {
  using other = await createTestIssuer();
  await speakTls(server, await issuer.issue());
  await eventually(async () => expect(await answerOf(urlWith(), open)).toBe("over TLS"), shownMs);
  expect(await answerOf(urlWith({ host: "127.0.0.1" }), open)).toBe("over TLS");
  expect(await answerOf(urlWith({ caFile: "" }), open)).toContain("shows a certificate that is not trusted");
  expect(await answerOf(urlWith({ caFile: other.caFile }), open)).toContain("is not trusted");
  await speakTls(server, await issuer.issue({ names: ["other.example"] }));
  await eventually(async () => expect(await answerOf(urlWith(), open)).toContain("is not trusted"), shownMs);
  expect(await answerOf(urlWith({ host: "127.0.0.1" }), open)).toContain("is not trusted");
}

test("a PostgreSQL with TLS is trusted when it shows a certificate of its host's by an issuer that is named", () =>
  expectTrust(openDatabase));

test("migrations go the same way", async () => {
  await speakTls(server, await issuer.issue());
  await eventually(() => migrate({ url: urlWith(), migrations: [], log }), shownMs);
  const untrusted = migrate({ url: urlWith({ caFile: "" }), migrations: [], log });
  expect(await untrusted.catch((error: unknown) => error)).toBeInstanceOf(Error);
});

test.each([
  ["nobody is verified", "rejectUnauthorized: true", "rejectUnauthorized: false"],
  ["any name will do", "checkServerIdentity(host, certificate)", "undefined"],
])(
  "the test notices when %s",
  async (_, from, to) => {
    type Module = { openDatabase: typeof openDatabase };
    const through = [join(import.meta.dir, "open-database.ts")];
    const mutant = await importMutant<Module>(join(import.meta.dir, "server-of.ts"), from, to, through);
    await caught(() => expectTrust(mutant.openDatabase));
  },
  20_000,
);
