import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { lstat, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ConnectError } from "@connectrpc/connect";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { ApiKeyService } from "../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../gen/muin/identity/v1/auth_service_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { connectClient, startMuin, type TestMuin } from "../platform/testing/muin.ts";

setDefaultTimeout(60_000);

const adminPassword = "an administrator's password, chosen";
const personPassword = "correct horse battery staple";
const person = "somebody@example.com";

let muin: TestMuin;
beforeAll(async () => {
  muin = await startMuin({ env: { MUIN_LOG_LEVEL: "debug", MUIN_ADMIN_PASSWORD: adminPassword } });
  await muin.client(CountManagementService).createCount({ countId: "a" });
});
afterAll(() => muin[Symbol.asyncDispose]());

/** The code of a Connect call with a body of JSON as it is written here; "ok" when it succeeded. */
async function ask(path: string, body: string): Promise<string> {
  const response = await fetch(`${muin.http}/${path}`, {
    method: "POST",
    headers: { authorization: `Bearer ${muin.operatorKey}`, "content-type": "application/json" },
    body,
  });
  const answer = (await response.json()) as { code?: string };
  return response.ok ? "ok" : (answer.code ?? `${response.status}`);
}

describe("input that no client of ours would send", () => {
  const write = "muin.count.v1.CountWriteService";
  const manage = "muin.count.v1.CountManagementService";
  const imports = "muin.count.v1.CountImportService";
  const operate = "muin.platform.v1.OperationsService";
  const keys = "muin.identity.v1.ApiKeyService";
  test.each([
    [`${write}/Increment`, '{"countId":"a","delta":1.5}'],
    [`${write}/Increment`, '{"countId":"a","delta":1e400}'],
    [`${write}/Increment`, '{"countId":"a","delta":"NaN"}'],
    [`${write}/Increment`, '{"countId":"a","delta":"Infinity"}'],
    [`${write}/Increment`, '{"countId":"a","delta":NaN}'],
    [`${write}/Increment`, '{"countId":"a","delta":true}'],
    [`${write}/Increment`, '{"countId":"a","delta":0}'],
    [`${write}/Increment`, '{"countId":"a","delta":-1}'],
    [`${write}/Increment`, '{"countId":"a","delta":9007199254740992}'],
    [`${write}/Increment`, '{"countId":"a","delta":"9007199254740992"}'],
    [`${write}/Increment`, '{"countId":"a","delta":"9223372036854775808"}'],
    [`${write}/Set`, '{"countId":"a","value":"-9007199254740992"}'],
    [`${write}/Increment`, '{"countId":"\\u00e1"}'],
    [`${write}/Increment`, '{"countId":"a\\u0000"}'],
    [`${write}/Increment`, '{"countId":"a\\n"}'],
    [`${write}/Increment`, '{"countId":"A"}'],
    [`${write}/Increment`, '{"countId":"../a"}'],
    [`${write}/Increment`, `{"countId":"${"a".repeat(129)}"}`],
    [`${write}/Increment`, '{"countId":"a","requestId":"aaaaaaa\\u0000"}'],
    [`${write}/Increment`, '{"countId":"a","requestId":"\\ud800aaaaaaaa"}'],
    [`${write}/Increment`, '{"countId":"a","countId":"b"}'],
    [`${write}/Increment`, '{"countId":"a","count_id":"b"}'],
    [`${write}/Increment`, "[]"],
    [`${write}/Increment`, "null"],
    [`${write}/Increment`, '{"__proto__":{"countId":"a"}}'],
    [`${write}/BatchWrite`, `{"writes":[${Array(1001).fill('{"countId":"a","increment":1}').join()}]}`],
    ["muin.count.v1.CountReadService/GetCount", '{"countId":"a","maxStaleness":"-1s"}'],
    ["muin.count.v1.CountReadService/GetCount", '{"countId":"a","maxStaleness":"NaNs"}'],
    ["muin.count.v1.CountReadService/GetCount", '{"countId":"a","maxStaleness":"315576000000s"}'],
    ["muin.count.v1.CountReadService/BatchGetCounts", `{"countIds":[${Array(1001).fill('"a"').join()}]}`],
    [`${manage}/ListCounts`, '{"pageToken":"forged"}'],
    [`${manage}/ListCounts`, '{"pageSize":-1}'],
    [`${manage}/ListCounts`, '{"pageSize":2147483648}'],
    [`${manage}/ListCounts`, `{"prefix":"%' OR 1=1 --"}`],
    [`${manage}/CreateCount`, '{"countId":"b","countInfo":{"displayName":"x\\u0000y"}}'],
    [`${manage}/CreateCount`, '{"countId":"b","countInfo":{"displayName":"\\ud800"}}'],
    [`${manage}/CreateCount`, `{"countId":"b","countInfo":{"labels":{"k":"${"v".repeat(100_000)}"}}}`],
    [`${manage}/CreateCount`, `{"countId":"b","countInfo":{"labels":{"${"k".repeat(100_000)}":"v"}}}`],
    [
      `${manage}/CreateCount`,
      JSON.stringify({
        countId: "b",
        countInfo: { labels: Object.fromEntries(Array.from({ length: 65 }, (_, index) => [`k${index}`, "v"])) },
      }),
    ],
    [`${manage}/UpdateCount`, '{"countInfo":{"countId":"a"},"updateMask":"displayName,state"}'],
    [`${manage}/UpdateCount`, '{"countInfo":{"countId":"a"},"updateMask":"constructor.prototype"}'],
    [`${imports}/StartImport`, '{"optionsHash":"eA==","prefix":"eA=="}'],
    [`${imports}/ImportBatch`, '{"importId":"i","sequence":"9007199254740992","offsetEnd":"1"}'],
    [`${imports}/ImportBatch`, '{"importId":"i","sequence":"1","offsetEnd":"9223372036854775807"}'],
    [`${imports}/ImportBatch`, '{"importId":"i","sequence":"1","offsetEnd":"-1"}'],
    [`${imports}/ImportBatch`, '{"importId":"i","sequence":"1","offsetEnd":"1","lines":"9223372036854775807"}'],
    [`${manage}/ListCounts`, '{"prefix":"\\u0000"}'],
    [`${manage}/ListCounts`, '{"labels":["a=\\udc00"]}'],
    [`${manage}/ListCounts`, '{"pageToken":"\\u0000"}'],
    [`${manage}/DeleteCount`, '{"countId":"a","etag":"\\u0000"}'],
    [`${operate}/ListDeadLetters`, '{"service":"\\u0000"}'],
    [`${operate}/ListDeadLetters`, '{"pageToken":"forged"}'],
    [`${operate}/ListDeadLetters`, '{"pageToken":"99999999999999999999-0 events:parked:x:y:0"}'],
    [`${keys}/ListApiKeys`, '{"pageToken":"forged"}'],
    [`${keys}/CreateApiKey`, '{"displayName":"x\\u0000","scopes":["counts.read"]}'],
    [`${keys}/CreateApiKey`, '{"displayName":"x","scopes":["everything"]}'],
  ])("%s refuses %s", async (path, body) => {
    expect(await ask(path, body)).toBe("invalid_argument");
  });

  test.each([
    ["/api/v1/counts/..%2F..%2Fetc%2Fpasswd", 400],
    ["/api/v1/counts/%00", 400],
    ["/api/v1/counts/%ff%fe", 400],
    ["/api/v1/counts/%ED%A0%80", 400],
    ["/api/v1/count-infos?prefix=%00", 400],
    ["/api/v1/count-infos?labels=a%3D%ED%A0%80", 400],
    ["/api/v1/counts/%", 400],
    ["/api/v1/counts/a%3Bdrop%20table", 400],
    ["/api/v1/counts/a?max_staleness=-5s", 400],
    ["/api/v1/counts/a?max_staleness=0s&max_staleness=1s", 400],
    ["/api/v1/counts/a?count_id=b", 400],
    ["/../../../etc/passwd", 404],
    ["/static/..%2f..%2fpackage.json", 404],
  ])("GET %s is answered with %d", async (path, status) => {
    const response = await fetch(`${muin.http}${path}`, { headers: { authorization: `Bearer ${muin.operatorKey}` } });
    expect(response.status).toBe(status);
    expect(await response.text()).not.toContain("root:");
  });

  test("deep nesting, an odd label and a thousand of everything are taken in their stride", async () => {
    const deep = `{"countId":"a","unknown":${"[".repeat(200_000)}${"]".repeat(200_000)}}`;
    expect(["ok", "invalid_argument"]).toContain(await ask(`${write}/Increment`, deep));
    expect(await ask(`${manage}/CreateCount`, '{"countId":"odd","countInfo":{"labels":{"__proto__":"v"}}}')).toBe("ok");
    const { countInfo } = await muin.client(CountManagementService).getCountInfo({ countId: "odd" });
    expect(Object.entries(countInfo?.labels ?? {})).toEqual([["__proto__", "v"]]);
    const { results } = await muin.client(CountWriteService).batchWrite({
      writes: Array.from({ length: 1000 }, (_, index) => ({
        countId: "a",
        operation: { case: "increment", value: BigInt(Number.MAX_SAFE_INTEGER) },
        requestId: `${index}`.padStart(64, "r"),
      })),
    });
    expect(results.length).toBe(1000);
    const { counts } = await muin
      .client(CountReadService)
      .batchGetCounts({ countIds: Array<string>(1000).fill("a"), maxStaleness: {} });
    expect(counts.length).toBe(1000);
    expect((await fetch(`${muin.http}/readyz`)).status).toBe(200);
  });
});

describe("what must not be shown", () => {
  test("secrets stand in no page, error, log or argument, and people's addresses in no log", async () => {
    const { tokens } = await muin.signUp({ email: person, password: personPassword });
    await muin.client(AuthService).signUp({ email: person, password: personPassword });
    const { secret } = await muin.client(ApiKeyService).createApiKey({ displayName: "k", scopes: ["counts.read"] });
    await muin.client(CountReadService, secret).getCount({ countId: "a" });
    const errors = await Promise.all(
      [
        connectClient(AuthService, muin.http, undefined).signIn({ email: person, password: `${personPassword}!` }),
        connectClient(AuthService, muin.http, undefined).acceptInvitation({
          token: "A".repeat(43),
          password: personPassword,
        }),
        connectClient(AuthService, muin.http, undefined).refreshToken({ refreshToken: `${tokens.refreshToken}x` }),
        connectClient(CountReadService, muin.http, `${secret}x`).getCount({ countId: "a" }),
        connectClient(CountReadService, muin.http, `${tokens.accessToken}x`).getCount({ countId: "a" }),
        muin.client(CountWriteService, secret).increment({ countId: "a" }),
        muin.client(OperationsService).replayEvents({ service: "count-write", topic: "count.value" }),
      ].map((call) =>
        (call as Promise<unknown>).then(
          () => "no error",
          (error: unknown) => `${ConnectError.from(error).message} ${JSON.stringify(ConnectError.from(error).details)}`,
        ),
      ),
    );
    expect(errors).not.toContain("no error");

    const kept = JSON.parse(await readFile(join(muin.dataDir, "secrets.json"), "utf8")) as Record<string, string>;
    const secrets: Record<string, string> = {
      ...kept,
      adminPassword,
      personPassword,
      apiKey: muin.apiKey,
      operatorKey: muin.operatorKey,
      secret,
      accessToken: tokens.accessToken ?? "",
      refreshToken: tokens.refreshToken ?? "",
    };
    const shown: Record<string, string> = { errors: errors.join("\n"), log: muin.stderr() };
    for (const path of ["/", "/metrics", "/openapi.json", "/readyz", "/.well-known/jwks.json"]) {
      for (const port of [muin.http, muin.operator]) shown[port + path] = await (await fetch(port + path)).text();
    }
    for (const { pid, name } of await muin.folder.processes()) {
      shown[`arguments of ${name}`] = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    }
    shown["arguments of muin"] = await readFile(`/proc/${muin.pid}/cmdline`, "utf8");
    for (const log of (await filesOf(muin.dataDir)).filter((file) => file.endsWith(".log"))) {
      shown[log] = await readFile(log, "utf8");
    }
    expect(Object.keys(shown).filter((place) => place.endsWith("server.log")).length).toBeGreaterThanOrEqual(4);
    const leaks = Object.entries(shown).flatMap(([place, text]) =>
      Object.entries(secrets)
        .filter(([, value]) => value.length >= 16 && text.includes(value))
        .map(([name]) => `${name} in ${place}`),
    );
    expect(leaks).toEqual([]);
    const logs = Object.entries(shown).filter(([place]) => place === "log" || place.endsWith(".log"));
    expect(logs.filter(([, text]) => text.includes(person)).map(([place]) => place)).toEqual([]);
    // The search finds what is there.
    expect(muin.stdout()).toContain(muin.apiKey);
  });

  test("what a caller sends cannot make up a line of the log", async () => {
    const response = await fetch(`${muin.http}/muin.count.v1.CountWriteService/Increment`, {
      method: "POST",
      headers: {
        authorization: 'Bearer x"}{"level":"error","message":"forged"}',
        "user-agent": 'x","level":"error',
        traceparent: '00-"}',
        "content-type": "application/json",
      },
      body: '{"countId":"a\\n{\\"level\\":\\"error\\",\\"message\\":\\"forged\\"}"}',
    });
    expect(response.status).toBe(401);
    for (const line of muin.stderr().split("\n").slice(0, -1)) {
      expect((JSON.parse(line) as { message?: string }).message).not.toBe("forged");
    }
  });

  test("nobody but its owner reads a file of the data folder", async () => {
    const open: string[] = [];
    for (const path of await filesOf(muin.dataDir)) {
      const { mode } = await lstat(path).catch(() => ({ mode: 0 })); // A store removed it meanwhile.
      if ((mode & 0o077) === 0) continue;
      const parents = path
        .slice(muin.dataDir.length + 1)
        .split("/")
        .slice(0, -1);
      const folders = parents.map((_, index) => join(muin.dataDir, ...parents.slice(0, index + 1)));
      const modes = await Promise.all(folders.map(async (folder) => (await lstat(folder)).mode & 0o077));
      if (!modes.includes(0)) open.push(path);
    }
    expect(open).toEqual([]);
  });
});

describe("with stores that stand still", () => {
  test("the status names them within seconds", async () => {
    const look = async (): Promise<readonly string[]> => {
      const { stores } = await muin.client(OperationsService).getStatus({}, { timeoutMs: 4000 });
      return stores.filter(({ reachable }) => !reachable).map(({ name }) => name);
    };
    expect(await look()).toEqual([]);
    const halted = (await muin.folder.processes()).filter(({ name }) => /^postgres|^redis.events/.test(name));
    expect(halted.length).toBeGreaterThan(2);
    for (const { pid } of halted) process.kill(pid, "SIGSTOP");
    try {
      expect(await look()).toEqual([
        "access/database",
        "auth/database",
        "branch-owner/database",
        "count-management/info",
        "count-read/info",
        "events",
        "mlops/database",
        "user/database",
      ]);
      const page = await fetch(`${muin.operator}/`, { signal: AbortSignal.timeout(4000) });
      expect(page.status).toBe(200);
    } finally {
      for (const { pid } of halted) process.kill(pid, "SIGCONT");
    }
    await eventually(async () => expect(await look()).toEqual([]), { timeoutMs: 20_000 });
  });
});

async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries.filter((entry) => entry.isFile()).map((entry) => join(entry.parentPath, entry.name));
}
