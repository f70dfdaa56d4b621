import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { chromium } from "playwright-core";
import { CountSource, CountState } from "../gen/muin/count/v1/count_pb.ts";
import { CountManagementService } from "../gen/muin/count/v1/count_management_service_pb.ts";
import { CountReadService } from "../gen/muin/count/v1/count_read_service_pb.ts";
import { CountWriteService } from "../gen/muin/count/v1/count_write_service_pb.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../platform/testing/muin.ts";

/** The binary is compiled within the first test. */
setDefaultTimeout(120_000);

/** Without it a test is skipped, which its name says; in CI it must be there. */
const lacks = (program: string): boolean => Bun.which(program) === null && process.env["CI"] === undefined;

/** An answer of the HTTP port. */
interface Answer {
  readonly status: number;
  readonly body: unknown;
}

/** Sends a request by curl, or by fetch where there is no curl. */
async function request(
  url: string,
  options: { readonly key?: string; readonly method?: string; readonly body?: unknown; readonly text?: boolean } = {},
): Promise<Answer> {
  const method = options.method ?? (options.body === undefined ? "GET" : "POST");
  const headers = {
    ...(options.key === undefined ? {} : { authorization: `Bearer ${options.key}` }),
    ...(options.body === undefined ? {} : { "content-type": "application/json" }),
  };
  const body = options.body === undefined ? undefined : JSON.stringify(options.body);
  const parse = (text: string): unknown => (options.text === true ? text : JSON.parse(text));
  if (Bun.which("curl") === null) {
    const response = await fetch(url, { method, headers, ...(body === undefined ? {} : { body }) });
    return { status: response.status, body: parse(await response.text()) };
  }
  const args = Object.entries(headers).flatMap(([name, value]) => ["--header", `${name}: ${value}`]);
  if (body !== undefined) args.push("--data", body);
  const curl = ["curl", "--silent", "--show-error", "--max-time", "20", "--request", method];
  const child = Bun.spawn([...curl, "--write-out", "\n%{http_code}", ...args, url], { stderr: "inherit" });
  const output = await new Response(child.stdout).text();
  expect(await child.exited).toBe(0);
  const end = output.lastIndexOf("\n");
  return { status: Number(output.slice(end + 1)), body: parse(output.slice(0, end)) };
}

/** What is expected of an error over REST. */
function errorBody(code: number, status: string, reason: string): unknown {
  return {
    error: expect.objectContaining({
      code,
      status,
      details: expect.arrayContaining([expect.objectContaining({ reason, domain: "muin" })]),
    }),
  };
}

async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    const failure = ConnectError.from(error);
    return `${Code[failure.code]} ${failure.findDetails(ErrorInfoSchema)[0]?.reason ?? ""}`;
  }
}

const time = expect.stringMatching(/^\d{4}-\d{2}-\d{2}T[\d:.]+Z$/);

describe.each(["sources", "binary"] as const)("muin from %s", (from) => {
  let muin: TestMuin;
  beforeAll(async () => {
    muin = await startMuin({ from });
  });
  afterAll(() => muin[Symbol.asyncDispose]());

  test("counts over REST with curl", async () => {
    const key = muin.apiKey;
    const infos = `${muin.http}/api/v1/count-infos`;
    const counts = `${muin.http}/api/v1/counts`;
    const created = await request(`${infos}?count_id=rest&initial_value=5`, {
      key,
      body: { display_name: "Visits", labels: { site: "a" }, max_value: "100" },
    });
    expect(created).toEqual({
      status: 200,
      body: {
        countInfo: {
          countId: "rest",
          displayName: "Visits",
          labels: { site: "a" },
          maxValue: "100",
          state: "COUNT_STATE_ACTIVE",
          etag: expect.any(String),
          createTime: time,
          updateTime: time,
        },
        value: { countId: "rest", value: "5", revision: "1", updateTime: time },
      },
    });
    const written = (value: string, revision: string, replayed = false): Answer => ({
      status: 200,
      body: { value: { countId: "rest", value, revision, updateTime: time }, replayed },
    });
    const post = (path: string, body?: unknown): Promise<Answer> =>
      request(`${counts}${path}`, { key, method: "POST", ...(body === undefined ? {} : { body }) });
    expect(await post("/rest/increment")).toEqual(written("6", "2"));
    expect(await post("/rest/increment", { delta: "10", request_id: "rest-inc-1" })).toEqual(written("16", "3"));
    expect(await post("/rest/increment", { delta: "10", requestId: "rest-inc-1" })).toEqual(written("16", "3", true));
    expect(await post("/rest/increment", { delta: 11, request_id: "rest-inc-1" })).toEqual({
      status: 400,
      body: errorBody(400, "INVALID_ARGUMENT", "REQUEST_ID_REUSED"),
    });
    expect(await post("/rest/decrement", { delta: 6 })).toEqual(written("10", "4"));
    expect(await post("/rest/set", { value: "-3" })).toEqual(written("-3", "5"));
    expect(await post("/rest/increment", { delta: 104 })).toEqual({
      status: 400,
      body: errorBody(400, "OUT_OF_RANGE", "VALUE_OUT_OF_RANGE"),
    });
    expect(await post("/rest/increment", { delta: 0 })).toMatchObject({ status: 400 });
    expect(
      await post(":batchWrite", {
        writes: [
          { countId: "rest", increment: 4 },
          { countId: "absent", set: 1 },
        ],
      }),
    ).toEqual({
      status: 200,
      body: {
        results: [
          { success: { value: { countId: "rest", value: "1", revision: "6", updateTime: time }, replayed: false } },
          { error: expect.objectContaining({ code: Code.NotFound }) },
        ],
      },
    });

    const read = await request(`${counts}/rest?max_staleness=0s`, { key });
    expect(read).toEqual({
      status: 200,
      body: {
        count: {
          info: expect.objectContaining({ displayName: "Visits" }),
          value: { countId: "rest", value: "1", revision: "6", updateTime: time },
          asOf: time,
          source: "COUNT_SOURCE_PRIMARY",
        },
      },
    });
    const batch = await request(`${counts}:batchGet?count_ids=rest&count_ids=absent&max_staleness=0s`, { key });
    expect(batch.body).toEqual({
      counts: [expect.objectContaining({ source: "COUNT_SOURCE_PRIMARY" })],
      missingCountIds: ["absent"],
    });
    expect((await request(`${counts}/absent`, { key })).body).toEqual(errorBody(404, "NOT_FOUND", "COUNT_NOT_FOUND"));

    const one = `${infos}/rest`;
    const list = await request(`${infos}?prefix=re&labels=site%3Da&state=COUNT_STATE_ACTIVE`, { key });
    expect(list.body).toEqual({ countInfos: [expect.objectContaining({ countId: "rest" })], nextPageToken: "" });
    const updated = await request(`${one}?update_mask=displayName`, {
      key,
      method: "PATCH",
      body: { displayName: "V" },
    });
    expect(updated.body).toMatchObject({ countInfo: { displayName: "V", labels: { site: "a" } } });
    expect((await request(`${one}?etag=stale`, { key, method: "DELETE" })).status).toBe(409);
    const deleted = await request(one, { key, method: "DELETE" });
    expect(deleted.body).toMatchObject({ countInfo: { state: "COUNT_STATE_DELETED" } });
    expect((await post("/rest/increment")).body).toEqual(errorBody(400, "FAILED_PRECONDITION", "COUNT_DELETED"));
    const back = await request(`${one}:undelete`, { key, body: {} });
    expect(back.body).toMatchObject({ countInfo: { state: "COUNT_STATE_ACTIVE" } });
    expect(await post("/rest/increment")).toMatchObject({ status: 200, body: { value: { value: "2" } } });
    await eventually(async () => {
      const verified = await request(`${infos}:verify?prefix=rest`, { key });
      expect(verified.body).toMatchObject({ checks: [{ sum: "2", value: "2", state: "COUNT_CHECK_STATE_EQUAL" }] });
    });
  });

  const lanes: readonly [string, (muin: TestMuin) => Transport][] = [
    ["Connect, JSON", ({ http }) => createConnectTransport({ baseUrl: http, httpVersion: "1.1" })],
    [
      "Connect, JSON by GET",
      ({ http }) => createConnectTransport({ baseUrl: http, httpVersion: "1.1", useHttpGet: true }),
    ],
    [
      "Connect, binary over HTTP/2",
      ({ http }) => createConnectTransport({ baseUrl: http, httpVersion: "2", useBinaryFormat: true }),
    ],
    ["gRPC-Web", ({ http }) => createGrpcWebTransport({ baseUrl: http, httpVersion: "1.1" })],
    ["gRPC", ({ grpc }) => createGrpcTransport({ baseUrl: `http://${grpc}` })],
  ];
  test.each(lanes)("counts over %s", async (lane, transportOf) => {
    const transport = transportOf(muin);
    const headers = { authorization: `Bearer ${muin.apiKey}` };
    const management = createClient(CountManagementService, transport);
    const writer = createClient(CountWriteService, transport);
    const reader = createClient(CountReadService, transport);
    const countId = lane.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-");
    expect(await reasonOf(writer.increment({ countId }))).toBe("Unauthenticated CREDENTIALS_MISSING");
    expect(await reasonOf(reader.getCount({ countId }, { headers }))).toBe("NotFound COUNT_NOT_FOUND");
    await management.createCount({ countId, initialValue: 10n, countInfo: { minValue: 0n } }, { headers });
    expect(await reasonOf(management.createCount({ countId }, { headers }))).toBe("AlreadyExists COUNT_EXISTS");
    const repeated = { countId, delta: 5n, requestId: `request-of-${countId}` };
    expect(await writer.increment(repeated, { headers })).toMatchObject({ value: { value: 15n }, replayed: false });
    expect(await writer.increment(repeated, { headers })).toMatchObject({ value: { value: 15n }, replayed: true });
    expect(await writer.decrement({ countId }, { headers })).toMatchObject({ value: { value: 14n, revision: 3n } });
    expect(await reasonOf(writer.decrement({ countId, delta: 15n }, { headers }))).toBe(
      "OutOfRange VALUE_OUT_OF_RANGE",
    );
    expect(await writer.set({ countId, value: 100n }, { headers })).toMatchObject({ value: { value: 100n } });
    const { results } = await writer.batchWrite(
      {
        writes: [
          { countId, operation: { case: "increment", value: 1n } },
          { countId: "absent", operation: { case: "set", value: 1n } },
        ],
      },
      { headers },
    );
    expect(results.map(({ result }) => result.case)).toEqual(["success", "error"]);
    // Whoever wrote reads what was written, each time.
    for (let value = 102n; value < 112n; value += 1n) {
      await writer.increment({ countId }, { headers });
      const before = Date.now();
      const { count } = await reader.getCount({ countId, maxStaleness: { seconds: 0n } }, { headers });
      expect(count).toMatchObject({ value: { value }, source: CountSource.PRIMARY, info: { minValue: 0n } });
      expect(Math.abs(Number(count?.asOf?.seconds) * 1000 - before)).toBeLessThan(3000);
    }
    // Within a second, a cached answer will do, and says so.
    await reader.getCount({ countId }, { headers });
    const cached = await reader.getCount({ countId, maxStaleness: { seconds: 60n } }, { headers });
    expect(cached.count).toMatchObject({ value: { value: 111n }, source: CountSource.CACHE });
    const batch = await reader.batchGetCounts({ countIds: ["absent", countId] }, { headers });
    expect(batch).toMatchObject({ counts: [{ value: { countId } }], missingCountIds: ["absent"] });
    const { countInfo } = await management.deleteCount({ countId }, { headers });
    expect(countInfo?.state).toBe(CountState.DELETED);
    expect(await reasonOf(writer.increment({ countId }, { headers }))).toBe("FailedPrecondition COUNT_DELETED");
    await management.undeleteCount({ countId }, { headers });
    expect(await writer.increment({ countId }, { headers })).toMatchObject({ value: { value: 112n } });
  });

  test.skipIf(lacks("node"))("serves a foreign gRPC client: grpc-js under Node (skipped without node)", async () => {
    await muin.client(CountManagementService).createCount({ countId: "foreign" });
    const script = join(import.meta.dir, "testdata/grpc-client.mjs");
    const child = Bun.spawn(["node", script, muin.grpc, muin.apiKey, "foreign"], { stderr: "inherit" });
    const output = await new Response(child.stdout).text();
    expect(await child.exited).toBe(0);
    const value = { countId: "foreign", value: "2", revision: "2", updateTime: time };
    expect(JSON.parse(output)).toEqual({
      services: expect.arrayContaining([
        "muin.count.v1.CountWriteService",
        "muin.identity.v1.AuthService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1.ServerReflection",
      ]),
      health: [8, 1], // Field 1, an enum: SERVING.
      increment: { value },
      repeated: { value, replayed: true },
      get: { count: expect.objectContaining({ value, source: "COUNT_SOURCE_PRIMARY" }) },
      unknown: { code: "NOT_FOUND" },
      invalid: { code: "INVALID_ARGUMENT" },
      anonymous: { code: "UNAUTHENTICATED" },
      wrongKey: { code: "UNAUTHENTICATED" },
    });
  });

  test("people sign up, in and out, and a session's tokens end with it", async () => {
    const auth = (verb: string, body: unknown, key?: string): Promise<Answer> =>
      request(`${muin.http}/api/v1/auth:${verb}`, { body, ...(key === undefined ? {} : { key }) });
    const who = { email: "Somebody@Example.com", password: "a long enough secret" };
    const tokens = {
      accessToken: expect.stringMatching(/^[\w-]+\.[\w-]+\.[\w-]+$/),
      accessExpireTime: time,
      refreshToken: expect.any(String),
      refreshExpireTime: time,
    };
    const accepted = { status: 200, body: { accepted: true, userId: "" } };
    expect(await auth("signUp", { ...who, display_name: "Some Body" })).toEqual(accepted);
    const token = await muin.mailbox.token("somebody@example.com", "Verify your e-mail address");
    const up = await auth("verifyEmail", { token });
    expect(up).toEqual({ status: 200, body: { userId: expect.any(String), tokens } });
    expect(await auth("signUp", who)).toEqual(accepted);
    const wrong = await auth("signIn", { ...who, password: "another long secret" });
    expect(wrong.status).toBe(401);
    expect(await auth("signIn", { ...who, email: "nobody@example.com" })).toEqual(wrong);
    const signedIn = await auth("signIn", { ...who, email: "somebody@example.com" });
    const { userId } = up.body as { userId: string };
    expect(signedIn).toEqual({ status: 200, body: { userId, tokens, challenge: "" } });
    const { accessToken, refreshToken } = (signedIn.body as { tokens: { accessToken: string; refreshToken: string } })
      .tokens;

    const refreshed = await auth("refreshToken", { refresh_token: refreshToken });
    expect(refreshed).toEqual({ status: 200, body: { tokens } });
    const next = (refreshed.body as { tokens: { accessToken: string; refreshToken: string } }).tokens;
    expect(next.refreshToken).not.toBe(refreshToken);
    const sessions = await request(`${muin.http}/api/v1/sessions`, { key: next.accessToken });
    expect(sessions.body).toMatchObject({ sessions: [{ current: true }, { current: false }] });

    // Who signed up may not count yet: nobody gave them a scope.
    expect(await request(`${muin.http}/api/v1/counts/any/increment`, { method: "POST", key: accessToken })).toEqual({
      status: 403,
      body: errorBody(403, "PERMISSION_DENIED", "SCOPE_MISSING"),
    });
    expect(await auth("signOut", {}, next.accessToken)).toMatchObject({ status: 200 });
    expect(await auth("refreshToken", { refresh_token: next.refreshToken })).toMatchObject({ status: 401 });
    await eventually(async () => {
      expect((await request(`${muin.http}/api/v1/sessions`, { key: next.accessToken })).status).toBe(401);
    });
  });

  test("API keys are made, used with their scopes and revoked", async () => {
    const keys = `${muin.http}/api/v1/api-keys`;
    const key = muin.operatorKey;
    const made = await request(keys, { key, body: { display_name: "shop", scopes: ["counts.read"] } });
    expect(made).toEqual({
      status: 200,
      body: {
        apiKey: {
          apiKeyId: expect.any(String),
          displayName: "shop",
          scopes: ["counts.read"],
          ownerId: expect.any(String),
          createTime: time,
          expireTime: time,
        },
        secret: expect.stringMatching(/^muin_/),
      },
    });
    const { apiKey, secret } = made.body as { apiKey: { apiKeyId: string }; secret: string };
    const get = (): Promise<Answer> => request(`${muin.http}/api/v1/count-infos`, { key: secret });
    expect((await get()).status).toBe(200);
    expect(await request(`${muin.http}/api/v1/counts/x/increment`, { method: "POST", key: secret })).toEqual({
      status: 403,
      body: errorBody(403, "PERMISSION_DENIED", "SCOPE_MISSING"),
    });
    const listed = await request(keys, { key });
    expect(JSON.stringify(listed.body)).toContain(apiKey.apiKeyId);
    expect(JSON.stringify(listed.body)).not.toContain(secret);
    expect((await request(`${keys}/${apiKey.apiKeyId}`, { key, method: "DELETE" })).status).toBe(200);
    await eventually(async () => expect((await get()).status).toBe(401));
  });

  test("shows its health, keys, metrics and OpenAPI", async () => {
    const { http, operator } = muin;
    const get = (path: string, text = false): Promise<Answer> => request(`${http}${path}`, { text });
    const see = (path: string): Promise<Answer> => request(`${operator}${path}`, { text: true });
    expect(await get("/healthz", true)).toEqual({ status: 200, body: "ok\n" });
    expect(await get("/readyz", true)).toEqual({ status: 200, body: "ready\n" });
    expect(await get("/", true)).toEqual({ status: 200, body: "Muin is up.\n" });
    expect(await get("/metrics")).toMatchObject({ status: 404, body: { error: { status: "NOT_FOUND" } } });
    expect(await see("/readyz")).toEqual({ status: 200, body: "ready\n" });
    expect(await get("/nothing")).toMatchObject({ status: 404, body: { error: { status: "NOT_FOUND" } } });
    const jwk = {
      kty: "OKP",
      crv: "Ed25519",
      x: expect.any(String),
      kid: expect.any(String),
      alg: "EdDSA",
      use: "sig",
    };
    expect(await get("/.well-known/jwks.json")).toEqual({ status: 200, body: { keys: [jwk] } });
    const openApi = await get("/openapi.json");
    expect(openApi.body).toMatchObject({
      openapi: expect.stringMatching(/^3\.1\./),
      info: { title: expect.any(String) },
    });
    const { paths } = openApi.body as { paths: Record<string, Record<string, unknown>> };
    expect(Object.keys(paths)).toEqual(
      expect.arrayContaining(["/api/v1/counts/{count_id}/increment", "/api/v1/counts:batchGet", "/api/v1/auth:signIn"]),
    );
    const metrics = (await see("/metrics")).body as string;
    expect(metrics).toMatch(
      /^muin_rpc_server_finished_total\{service="muin\.count\.v1\.CountWriteService",method="Increment",protocol="\w+",code="ok"\} \d+$/m,
    );
    for (const secret of [muin.apiKey, muin.operatorKey]) expect(metrics).not.toContain(secret);
  });

  test.skipIf(lacks("chromium"))("shows a status page in a browser (skipped without chromium)", async () => {
    const browser = await chromium.launch({
      executablePath: Bun.which("chromium") ?? "chromium",
      args: process.getuid?.() === 0 ? ["--no-sandbox"] : [],
    });
    try {
      const page = await browser.newPage();
      const complaints: string[] = [];
      page.on("console", (message) => complaints.push(message.text()));
      page.on("pageerror", (error) => complaints.push(error.message));
      page.on("requestfailed", (failed) => complaints.push(failed.url()));
      expect((await page.goto(muin.operator))?.status()).toBe(200);
      expect(await page.title()).toBe("Muin");
      const text = await page.locator("body").innerText();
      for (const shown of ["Everything is ready", "count-write", "auth/database", muin.http, muin.grpc]) {
        expect(text).toContain(shown);
      }
      expect(text).not.toContain(muin.apiKey);
      for (const name of ["OpenAPI", "Metrics", "Readiness", "Keys"]) {
        const href = await page.getByRole("link", { name, exact: true }).getAttribute("href");
        expect((await fetch(new URL(href ?? "", muin.operator))).status).toBe(200);
      }
      // The style is applied, and nothing is cut off on a telephone.
      for (const width of [1280, 390]) {
        await page.setViewportSize({ width, height: 800 });
        expect(await page.evaluate("document.documentElement.scrollWidth")).toBeLessThanOrEqual(width);
        expect((await page.screenshot()).length).toBeGreaterThan(10_000);
      }
      expect(await page.evaluate("getComputedStyle(document.querySelector('main')).display")).toBe("grid");
      expect(complaints).toEqual([]);
    } finally {
      await browser.close();
    }
  });
});
