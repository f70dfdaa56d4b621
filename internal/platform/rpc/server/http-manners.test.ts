import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { caught, importMutant } from "../../testing/mutant.ts";
import { good, path } from "../testdata/raw-bodies.ts";
import { startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";

let server: ProbeServer;
beforeAll(async () => {
  server = await startProbeServer({ connectionLimits: { strangerRequestsMax: 10_000 } });
});
afterAll(() => server.stop());

const json = { ...good, "content-type": "application/json" };

interface Answer {
  readonly status: number;
  readonly body: string;
  readonly header: (name: string) => string | null;
}

async function ask(target: string, init: RequestInit = {}, of: ProbeServer = server): Promise<Answer> {
  const response = await fetch(of.addresses.http + target, init);
  return { status: response.status, body: await response.text(), header: (name) => response.headers.get(name) };
}

const look = `${path}/Look?connect=v1&encoding=json&message=`;

describe("HEAD is answered where GET is, without a body", () => {
  test.each(["/healthz", "/readyz", "/openapi.json", "/api/v1/looks/a", `${look}{}`])("%s", async (target) => {
    const [whole, head] = [await ask(target), await ask(target, { method: "HEAD" })];
    expect([whole.status, head.status, head.body]).toEqual([200, 200, ""]);
    expect(head.header("content-type")).toBe(whole.header("content-type"));
  });

  test("and nowhere else", async () => {
    const refusal = await ask("/api/v1/probes/a", { method: "HEAD", headers: good });
    expect([refusal.status, refusal.header("allow")]).toEqual([405, "POST"]);
    const connect = await ask(`${path}/Fast`, { method: "HEAD", headers: good });
    expect([connect.status, connect.header("allow")]).toEqual([405, "POST"]);
  });
});

test("a method that is not served is told which are", async () => {
  expect((await ask("/api/v1/looks/a", { method: "PUT" })).header("allow")).toBe("GET, HEAD");
  expect((await ask(`${path}/Look`, { method: "PUT", headers: json, body: "{}" })).header("allow")).toBe(
    "GET, HEAD, POST",
  );
});

describe("401 says what credentials are taken", () => {
  const challenges: readonly (readonly [name: string, target: string, init: RequestInit, challenge: string])[] = [
    ["REST", "/api/v1/probes/a", { method: "POST" }, 'Bearer realm="muin"'],
    [
      "REST, wrong ones",
      "/api/v1/probes/a",
      { method: "POST", headers: { authorization: "Bearer wrong" } },
      'Bearer realm="muin", error="invalid_token"',
    ],
    [
      "Connect, fast",
      `${path}/Fast`,
      { method: "POST", headers: { "content-type": "application/json" }, body: "{}" },
      'Bearer realm="muin"',
    ],
    [
      "Connect, generic, wrong ones",
      `${path}/Slow`,
      { method: "POST", headers: { ...json, authorization: "Basic YTpi" }, body: "{}" },
      'Bearer realm="muin", error="invalid_token"',
    ],
  ];
  test.each(challenges)("%s", async (_name, target, init, challenge) => {
    const { status, header } = await ask(target, init);
    expect([status, header("www-authenticate")]).toEqual([401, challenge]);
  });

  test("and no other status does", async () => {
    const refusal = await ask("/api/v1/probes/a", { method: "POST", headers: { authorization: "Bearer scopeless" } });
    expect([refusal.status, refusal.header("www-authenticate")]).toEqual([403, null]);
  });
});

test.each([
  ["as it is", " ".repeat(2 << 20), {}],
  ["in gzip", Bun.gzipSync(" ".repeat(2 << 20)), { "content-encoding": "gzip" }],
])("a body that is too large is 413 over REST: %s", async (_name, body, headers) => {
  const answer = await ask("/api/v1/probes/a", { method: "POST", headers: { ...json, ...headers }, body });
  expect([answer.status, answer.body]).toEqual([413, expect.stringContaining('"reason":"MESSAGE_TOO_LARGE"')]);
  expect(answer.body).toContain("a message may have 1048576 bytes here, and this one has more");
});

test("another content type is 415", async () => {
  const answer = await ask("/api/v1/probes/a", {
    method: "POST",
    headers: { ...good, "content-type": "text/xml" },
    body: "{}",
  });
  expect(answer.status).toBe(415);
  expect(answer.body).toContain(
    '"message":"content-type text/xml is not taken: send the body as JSON with content-type: application/json"',
  );
  const text = await ask(`${path}/Slow`, {
    method: "POST",
    headers: { ...good, "content-type": "application/grpc-web-text" },
  });
  expect([text.status, text.body]).toEqual([
    415,
    "gRPC-Web is served in binary: content-type application/grpc-web+proto\n",
  ]);
});

test.each([
  ["REST", "/api/v1/probes/a"],
  ["Connect, fast", `${path}/Fast`],
  ["Connect, generic", `${path}/Slow`],
])("names of content codings are read in either case: %s", async (_name, target) => {
  const send = (encoding: string, body: string | Uint8Array<ArrayBuffer>) =>
    ask(target, { method: "POST", headers: { ...json, "content-encoding": encoding }, body });
  expect((await send("GZip", Bun.gzipSync('{"name":"a"}'))).status).toBe(200);
  expect((await send("IDENTITY", '{"name":"a"}')).status).toBe(200);
  const unknown = await send("zstd", '{"name":"a"}');
  expect(unknown.status).toBe(501);
  expect(unknown.body).toMatch(/"(?:code|status)":"unimplemented"/i);
  const broken = await send("gzip", '{"name":"a"}');
  expect([broken.status, broken.body]).toEqual([
    400,
    expect.stringContaining("the message is not compressed as its encoding says"),
  ]);
});

test("a URL that is too long is told what to do instead", async () => {
  const answer = await ask(`/api/v1/looks:all?name=${"x".repeat(20_000)}`);
  expect(answer.status).toBe(431);
  expect(answer.body).toContain(
    `"message":"a request's URL has 16384 characters at the most: send a long list in the body of a POST"`,
  );
});

describe("Connect GET", () => {
  test.each([
    ["encoding=json&base64=1&message=***", 400, "invalid_argument"],
    ["encoding=json&base64=1&message=%25%25", 400, "invalid_argument"],
    ["encoding=proto&base64=1&message=A", 400, "invalid_argument"],
    ["encoding=json&base64=1&message=e30+", 400, "invalid_argument"],
    ["encoding=json&message=%zz", 400, "invalid_argument"],
    ["encoding=json&compression=gzip&message={}", 400, "invalid_argument"],
    ["encoding=json&compression=zstd&message={}", 501, "unimplemented"],
    ['encoding=json&message={"name":"a"}&message={"name":"b"}', 400, "invalid_argument"],
    ["encoding=json&encoding=proto&message={}", 400, "invalid_argument"],
  ])("?%s is %p", async (query, status, code) => {
    const answer = await ask(`${path}/Look?connect=v1&${query}`, { headers: good });
    expect([answer.status, (JSON.parse(answer.body) as { code: string }).code]).toEqual([status, code]);
  });

  test.each(["e30", "e30=", "eyJuYW1lIjoiPz8_In0", "eyJuYW1lIjoiPz8%2FIn0%3D", ""])(
    "base64 %s is taken",
    async (message) => {
      const encoding = message === "" ? "proto" : "json";
      expect((await ask(`${path}/Look?connect=v1&encoding=${encoding}&base64=1&message=${message}`)).status).toBe(200);
    },
  );
});

test.each(["gzip", "GZIP", "identity", "Identity"])("Connect GET takes the compression %s", async (compression) => {
  const json = Buffer.from("{}");
  const message = (compression.toLowerCase() === "gzip" ? Buffer.from(Bun.gzipSync(json)) : json).toString("base64url");
  const query = `connect=v1&encoding=json&compression=${compression}&base64=1&message=${message}`;
  expect((await ask(`${path}/Look?${query}`)).status).toBe(200);
});

describe("a deadline beyond a day, or that is none, is refused with what is right", () => {
  const millis = "Connect-Timeout-Ms must be whole milliseconds, 86400000 at the most";
  const units = "grpc-timeout must be 1 to 8 digits and one of H, M, S, m, u and n, and 86400000 ms at the most";
  const cases: readonly (readonly [name: string, target: string, headers: Record<string, string>, wanted: string])[] = [
    ["REST", "/api/v1/probes/a", { "connect-timeout-ms": "86400001" }, millis],
    ["Connect, fast", `${path}/Fast`, { "connect-timeout-ms": "86400001" }, millis],
    ["Connect, generic", `${path}/Slow`, { "connect-timeout-ms": "99999999999" }, millis],
    ["a public method", "/api/v1/looks/a", { "connect-timeout-ms": "86400001" }, millis],
    ["no number", `${path}/Fast`, { "connect-timeout-ms": "1s" }, millis],
  ];
  test.each(cases)("%s", async (_name, target, headers, wanted) => {
    const init = target.includes("looks")
      ? { headers }
      : { method: "POST", headers: { ...json, ...headers }, body: '{"name":"a"}' };
    const answer = await ask(target, init);
    expect([answer.status, answer.body]).toEqual([400, expect.stringContaining(`"message":"${wanted}"`)]);
  });

  test.each(["25H", "1441M", "86401S", "99999999H", "1d", "-1S"])("gRPC-Web: %s", async (value) => {
    const answer = await ask(`${path}/Slow`, {
      method: "POST",
      headers: { ...good, "content-type": "application/grpc-web+proto", "grpc-timeout": value },
      body: new Uint8Array([0, 0, 0, 0, 3, 10, 1, 97]),
    });
    expect(decodeURIComponent(`${answer.header("grpc-message") ?? ""}${answer.body}`)).toContain(units);
  });
});

test.each<[name: string, file: string, from: string, to: string, target: string, init: RequestInit, status: number]>([
  [
    "HEAD is unknown to REST",
    "../rest/lane.ts",
    'request.method === "HEAD" ? "GET" : request.method',
    "request.method",
    "/api/v1/looks/a",
    { method: "HEAD" },
    200,
  ],
  [
    "HEAD is unknown to Connect",
    "../connect/lane.ts",
    'request.method === "HEAD" ? "GET" : request.method',
    "request.method",
    `${look}{}`,
    { method: "HEAD" },
    200,
  ],
  [
    "statuses follow codes alone",
    "../rest/write-reply.ts",
    "statuses[reason] ?? ",
    "",
    "/api/v1/probes/a",
    { method: "POST", headers: { ...good, "content-type": "a/b" }, body: "{}" },
    415,
  ],
  [
    "the query of a GET is not looked at",
    "../universal/lane.ts",
    'call.origin.method === "GET"',
    "false",
    `${path}/Look?connect=v1&encoding=json&base64=1&message=***`,
    {},
    400,
  ],
  [
    "parameters of a GET may stand twice",
    "../universal/read-request.ts",
    "if (parameters.getAll(name).length === 1) continue;",
    "continue;",
    `${look}{}&message={}`,
    {},
    400,
  ],
  [
    "compression of a GET is told by its case",
    "../universal/read-request.ts",
    "(coding) => coding.toLowerCase()",
    "(coding) => coding",
    `${look}{}&compression=Identity`,
    {},
    200,
  ],
  [
    "URLs may be of any length",
    "request-head.ts",
    "url.length > urlCharsMax",
    "false",
    `/api/v1/looks:all?name=${"x".repeat(20_000)}`,
    {},
    431,
  ],
])("the tests notice when %s", async (_name, file, from, to, target, init, status) => {
  const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");
  const mutant = await importMutant<{ startProbeServer: typeof startProbeServer }>(
    join(import.meta.dir, file),
    from,
    to,
    [entry],
  );
  await using broken = await mutant.startProbeServer();
  await caught(async () => expect((await ask(target, init, broken)).status).toBe(status));
});
