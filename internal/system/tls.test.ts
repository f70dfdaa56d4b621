import { afterAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { hostname } from "node:os";
import { join, resolve } from "node:path";
import { connect } from "node:tls";
import postgres from "postgres";
import { catalog } from "../catalog.ts";
import { createTestIssuer } from "../platform/testing/certificates.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { startMesh, type TestMesh } from "../platform/testing/mesh.ts";
import { createMuinFolder, muinCommand, runProgram, startMuin, type MuinFolder } from "../platform/testing/muin.ts";
import { speakTls } from "../platform/testing/postgres-tls.ts";
import { startTlsTerminator } from "../platform/testing/tls-terminator.ts";

const root = resolve(import.meta.dir, "../..");
setDefaultTimeout(120_000);

const issuer = await createTestIssuer();
afterAll(() => issuer[Symbol.dispose]());

const ports = ["--http-port", "0", "--grpc-port", "0", "--operator-port", "0"];

async function beginUp(folder: MuinFolder, args: readonly string[], env: Readonly<Record<string, string>> = {}) {
  const command = [...(await muinCommand("sources")), "up", "--json", "--data-dir", folder.dataDir, ...ports, ...args];
  return runProgram(command, { cwd: folder.path, env });
}

/** The serial number of the certificate that a port shows to who trusts the issuer. */
async function serialOf(port: number): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", ca: issuer.ca, ALPNProtocols: ["h2"] });
  try {
    await once(socket, "secureConnect");
    return socket.getPeerCertificate().serialNumber;
  } finally {
    socket.destroy();
  }
}

describe("a process refuses to start", () => {
  const refusals: readonly (readonly [
    string,
    readonly string[],
    Readonly<Record<string, string>>,
    readonly string[],
  ])[] = [
    [
      "where others reach it without TLS",
      ["--host", "0.0.0.0"],
      {},
      [
        'MUIN_HOST got "0.0.0.0"',
        "MUIN_TLS_CERT_FILE",
        "--behind-proxy",
        "MUIN_BEHIND_PROXY=1",
        "--insecure",
        "MUIN_INSECURE=1",
      ],
    ],
    [
      "where others reach the operator's port without TLS, whatever is said",
      [],
      { MUIN_OPERATOR_HOST: "0.0.0.0", MUIN_BEHIND_PROXY: "1", MUIN_INSECURE: "1" },
      ['MUIN_OPERATOR_HOST got "0.0.0.0"', "MUIN_TLS_CERT_FILE", "loopback"],
    ],
    ["without a key to its certificate", [], { MUIN_TLS_CERT_FILE: issuer.caFile }, ["MUIN_TLS_KEY_FILE is missing"]],
    [
      "with a certificate that is not there",
      ["--host", "0.0.0.0"],
      { MUIN_TLS_CERT_FILE: "/nowhere/cert.pem", MUIN_TLS_KEY_FILE: "/nowhere/key.pem" },
      ["MUIN_TLS_CERT_FILE names /nowhere/cert.pem, which cannot be read (ENOENT)"],
    ],
  ];

  test.each(refusals)("%s: muin up", async (_, args, env, words) => {
    await using folder = await createMuinFolder();
    await using program = await beginUp(folder, args, env);
    const { code, stderr } = await program.ended;
    for (const word of words) expect(stderr).toContain(word);
    expect(code).toBe(78);
    expect(await folder.processes()).toEqual([]);
  });

  const stores: typeof refusals = [
    [
      "with events in plain text",
      [],
      { MUIN_EVENTS_URL: "redis://u:hunter2@redis.example" },
      ["MUIN_EVENTS_URL reaches redis.example without TLS: use rediss:// (with MUIN_CA_FILE", "MUIN_INSECURE=1"],
    ],
    [
      "with a database that is not verified",
      [],
      { MUIN_STORE_INFO_URL: "postgres://u:hunter2@127.0.0.1/info?sslmode=require" },
      ["MUIN_STORE_INFO_URL has sslmode=require, which does not make sure that the server is 127.0.0.1"],
    ],
    [
      "with calls in plain text",
      [],
      { MUIN_CALLS_URL: "http://router.example" },
      ["MUIN_CALLS_URL reaches router.example without TLS"],
    ],
    [
      "with a look at keys in plain text",
      [],
      { MUIN_CALL_API_KEY_URL: "http://auth.example" },
      ["MUIN_CALL_API_KEY_URL reaches auth.example without TLS"],
    ],
    [
      "without the issuers that are named",
      [],
      { MUIN_CA_FILE: "/nowhere/ca.pem" },
      ["MUIN_CA_FILE names /nowhere/ca.pem, which cannot be read (ENOENT)"],
    ],
  ];

  test.each([...refusals, ...stores])("%s: a service", async (_, [, host], env, words) => {
    await using folder = await createMuinFolder();
    await using program = runProgram([process.execPath, "--no-env-file", join(root, "cmd/count-read/main.ts")], {
      cwd: folder.path,
      env: {
        ...(host === undefined ? {} : { MUIN_HOST: host }),
        MUIN_EVENTS_URL: "redis://127.0.0.1:1",
        MUIN_STORE_PRIMARY_URL: "redis://127.0.0.1:1",
        MUIN_STORE_CACHE_URL: "redis://127.0.0.1:1",
        MUIN_STORE_INFO_URL: "postgres://127.0.0.1:1/info",
        ...env,
      },
    });
    const { code, stderr } = await program.ended;
    for (const word of words) expect(stderr).toContain(word);
    expect(stderr).not.toContain("hunter2");
    expect(code).toBe(78);
  });
});

test("a service works with stores, bus and port that all speak TLS", async () => {
  await using mesh = await startMesh(catalog);
  const pair = await issuer.issue();
  await speakTls(mesh.postgres, pair);
  const behindTls = (name: string) => startTlsTerminator(Number(new URL(known(mesh, name)).port), pair);
  await using events = await behindTls("events");
  const given = mesh.environment("auth");
  const eventsUrl = new URL(known(mesh, "events"));
  const certFile = issuer.write("auth.pem", pair.cert);
  const httpPort = given["MUIN_HTTP_PORT"] ?? "";
  await using program = runProgram([process.execPath, "--no-env-file", join(root, "cmd/auth/main.ts")], {
    cwd: mesh.folder.path,
    env: {
      ...given,
      MUIN_EVENTS_URL: `rediss://${eventsUrl.username}:${eventsUrl.password}@localhost:${events.port}`,
      MUIN_STORE_DATABASE_URL: `${mesh.storeUrl("auth", "database")}?sslmode=verify-full`,
      MUIN_CA_FILE: issuer.caFile,
      MUIN_TLS_CERT_FILE: certFile,
      MUIN_TLS_KEY_FILE: issuer.write("auth.key", pair.key),
    },
  });
  await eventually(
    async () => {
      const ready = await fetch(`https://localhost:${httpPort}/readyz`, { tls: { ca: issuer.ca } });
      expect([ready.status, await ready.text()]).toEqual([200, expect.stringMatching(/^ready/)]);
    },
    { timeoutMs: 40_000 },
  ).catch((error: unknown) => {
    throw new Error(`it is not ready: ${program.stderr()}${program.stdout()}`, { cause: error });
  });
  const sql = postgres(mesh.postgres.adminUrl, { max: 1, onnotice: () => undefined });
  const connections = await sql<{ ssl: boolean }[]>`
    SELECT DISTINCT ssl FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE application_name = 'muin-auth'`;
  await sql.end();
  expect([...connections]).toEqual([{ ssl: true }]);
});

function known({ redis }: TestMesh, name: string): string {
  return redis.get(name)?.url ?? "";
}

test("muin up serves with the certificate that is given, for whoever reaches it, and with the next one once it is there", async () => {
  await using folder = await createMuinFolder();
  const put = async (): Promise<string> => {
    const { cert, key } = await issuer.issue();
    issuer.write("key.pem", key);
    return issuer.write("cert.pem", cert);
  };
  const certFile = await put();
  const env = {
    MUIN_OPERATOR_HOST: "0.0.0.0",
    MUIN_TLS_CERT_FILE: certFile,
    MUIN_TLS_KEY_FILE: join(issuer.folder, "key.pem"),
  };
  await using program = await beginUp(folder, ["--host", "0.0.0.0"], env);
  const facts = await eventually(() => JSON.parse(program.stdout()) as Record<"http" | "grpc" | "operator", string>, {
    timeoutMs: 60_000,
  });
  expect(facts.http).toStartWith("https://");
  const httpPort = Number(new URL(facts.http).port);
  const operatorPort = Number(new URL(facts.operator).port);
  const grpcPort = Number(facts.grpc.split(":").at(-1));
  const ready = await fetch(`https://localhost:${httpPort}/readyz`, { tls: { ca: issuer.ca } });
  expect([ready.status, ready.headers.get("strict-transport-security")]).toEqual([200, "max-age=31536000"]);
  const before = [await serialOf(httpPort), await serialOf(grpcPort)];
  await put();
  await eventually(async () => {
    expect(await serialOf(grpcPort)).not.toBe(before[1] ?? "");
    expect(await serialOf(httpPort)).toBe(await serialOf(grpcPort));
    expect(await serialOf(operatorPort)).toBe(await serialOf(grpcPort));
  });
});

test("plain text for others takes a word, and is named in the status", async () => {
  await using muin = await startMuin({ args: ["--insecure", "--host", "0.0.0.0"] });
  const { code, stdout } = await muin.run("status");
  expect([code, stdout]).toEqual([
    0,
    expect.stringContaining("MUIN_INSECURE is said: calls and data may cross networks"),
  ]);
});

test.each(["sources", "binary"] as const)(
  "muin up --tls makes a certificate, keeps it, and is believed by the command line (%s)",
  async (from) => {
    await using folder = await createMuinFolder();
    const begin = async () => startMuin({ from, folder, args: ["--tls", "--host", "0.0.0.0"] });
    const caFile = join(folder.dataDir, "tls/ca.pem");
    let ca: string;
    {
      await using muin = await begin();
      expect(muin.facts).toMatchObject({
        http: expect.stringMatching(/^https:\/\/127\.0\.0\.1:\d+$/),
        ca_file: caFile,
      });
      ca = await readFile(caFile, "utf8");
      const port = Number(new URL(muin.http).port);
      for (const host of ["localhost", "127.0.0.1", hostname()]) {
        expect((await fetch(`https://${host}:${port}/readyz`, { tls: { ca } })).status).toBe(200);
      }
      const refused = await fetch(`${muin.http}/readyz`).catch((error: unknown) => error);
      expect(refused).toMatchObject({ code: expect.stringMatching(/CERT|SIGNATURE/) });
      expect(await muin.run("counts", "create", "visits")).toMatchObject({ code: 0 });
      expect(await muin.run("counts", "inc", "visits", "--url", muin.http)).toMatchObject({
        code: 3,
        stderr: expect.stringContaining("MUIN_CA_FILE names the file of its issuer"),
      });
      const env = { MUIN_CA_FILE: caFile, MUIN_API_KEY: muin.apiKey };
      const counted = muin.begin(["counts", "inc", "visits", "--url", muin.http], { env });
      expect(await counted.ended).toMatchObject({ code: 0 });
    }
    await using again = await begin();
    expect(await readFile(caFile, "utf8")).toBe(ca);
    expect(await again.run("status")).toMatchObject({ code: 0 });
  },
);
