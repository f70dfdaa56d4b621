import { afterAll, beforeAll, expect, test } from "bun:test";
import { connect, type Socket } from "node:net";
import { eventually } from "../../testing/eventually.ts";
import { importMutant } from "../../testing/mutant.ts";
import { codeNames, good, huge, path, reasonIn, testRawBodies, truncated, valid } from "../testdata/raw-bodies.ts";
import { startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";

let server: ProbeServer;
beforeAll(async () => {
  server = await startProbeServer();
});
afterAll(() => server.stop());

const json = { ...good, "content-type": "application/json" };
const binary = { ...good, "content-type": "application/proto" };

async function post(url: string, init: RequestInit): Promise<{ status: number; headers: object; body: string }> {
  const response = await fetch(server.addresses.http + url, { method: "POST", ...init });
  const headers = Object.fromEntries([...response.headers].filter(([name]) => name !== "date"));
  return { status: response.status, headers, body: await response.text() };
}

/** Requests that the fast path serves or hands on; the library's answer is the measure. */
const requests: readonly [name: string, init: RequestInit, status: number][] = [
  ["binary", { headers: binary, body: valid }, 200],
  ["JSON", { headers: json, body: `{"name":"abc","amount":"7"}` }, 200],
  [
    "JSON with a charset",
    { headers: { ...json, "content-type": "application/json; charset=utf-8" }, body: `{"name":"abc"}` },
    200,
  ],
  ["JSON with a field that is unknown", { headers: json, body: `{"name":"abc","nema":1}` }, 200],
  ["an empty body", { headers: binary, body: new Uint8Array() }, 400],
  ["headers and trailers", { headers: json, body: `{"name":"abc","act":"header"}` }, 200],
  ["an Any in the reply", { headers: json, body: `{"name":"abc","act":"any"}` }, 200],
  ["malformed JSON", { headers: json, body: `{"name":` }, 400],
  ["JSON of the wrong type", { headers: json, body: `{"name":5}` }, 400],
  ["truncated protobuf", { headers: binary, body: truncated }, 400],
  ["a body that is too large", { headers: json, body: huge }, 429],
  ["an unknown content type", { headers: { ...good, "content-type": "text/plain" }, body: "abc" }, 415],
  ["a GET", { method: "GET", headers: good }, 405],
  ["an unknown encoding", { headers: { ...json, "content-encoding": "zstd" }, body: "abc" }, 501],
  ["gzip", { headers: { ...json, "content-encoding": "gzip" }, body: Bun.gzipSync(`{"name":"abc"}`) }, 200],
  ["gzip of nothing", { headers: { ...json, "content-encoding": "gzip" }, body: "no gzip" }, 400],
  [
    "gzip that is too large unpacked",
    { headers: { ...json, "content-encoding": "gzip" }, body: Bun.gzipSync(huge) },
    429,
  ],
  ["a timeout that is none", { headers: { ...json, "connect-timeout-ms": "soon" }, body: `{"name":"abc"}` }, 400],
  [
    "a timeout that is too long",
    { headers: { ...json, "connect-timeout-ms": "999999999" }, body: `{"name":"abc"}` },
    400,
  ],
  [
    "no credentials, with a body that does not parse",
    { headers: { "content-type": "application/json" }, body: "{" },
    401,
  ],
  ["the wrong scope", { headers: { ...json, authorization: "Bearer scopeless" }, body: "{" }, 403],
  ["an invalid request", { headers: json, body: `{"name":"ABC","parts":[{"text":"x"}]}` }, 400],
  ["an error of the domain", { headers: json, body: `{"name":"abc","act":"muin"}` }, 404],
  ["a downstream error", { headers: json, body: `{"name":"abc","act":"downstream"}` }, 409],
  ["a handler that throws", { headers: json, body: `{"name":"abc","act":"throw"}` }, 500],
  [
    "a handler that hangs",
    { headers: { ...json, "connect-timeout-ms": "50" }, body: `{"name":"abc","act":"hang"}` },
    504,
  ],
];

test.each(requests)("the fast path answers byte for byte as the library: %s", async (_, init, status) => {
  const [fast, generic] = [await post(`${path}/Fast`, init), await post(`${path}/Slow`, init)];
  expect(fast).toEqual(generic);
  expect(fast.status).toBe(status);
  expect(fast.body).not.toContain("secret");
});

testRawBodies("gRPC-Web", async (body, headers) => {
  const envelope = Buffer.alloc(5 + body.length);
  envelope.writeUInt32BE(body.length, 1);
  envelope.set(body, 5);
  const init = { headers: { ...headers, "content-type": "application/grpc-web+proto" }, body: envelope };
  const trailers = (await post(`${path}/Slow`, init)).body;
  const status = /grpc-status: (\d+)/.exec(trailers)?.[1];
  const details = /grpc-status-details-bin: (\S+)/.exec(trailers)?.[1] ?? "";
  return { code: codeNames[Number(status)]!, reason: reasonIn(Buffer.from(details, "base64").toString("latin1")) };
});

for (const method of ["Fast", "Slow"]) {
  testRawBodies(`Connect, ${method}`, async (body, headers) => {
    const reply = await post(`${path}/${method}`, {
      headers: { ...headers, "content-type": "application/proto" },
      body,
    });
    const error = JSON.parse(reply.body) as { code: string; details: { debug: { reason: string } }[] };
    return { code: error.code, reason: error.details[0]?.debug.reason };
  });
}

test("an unknown method is not found", async () => {
  const reply = await post(`${path}/Nope`, { headers: binary, body: valid });
  expect(reply.status).toBe(404);
  expect(JSON.parse(reply.body)).toMatchObject({
    error: { code: 404, status: "NOT_FOUND", message: `there is nothing at ${path}/Nope` },
  });
});

test("headers beyond their limit are refused, and the port goes on", async () => {
  const bomb = "x".repeat(64 * 1024);
  expect((await post(`${path}/Fast`, { headers: { ...binary, "x-bomb": bomb }, body: valid })).status).toBe(431);
  const many = Object.fromEntries(Array.from({ length: 2000 }, (_, index) => [`x-bomb-${index}`, "x".repeat(20)]));
  expect((await post(`${path}/Slow`, { headers: { ...binary, ...many }, body: valid })).status).toBe(431);
  expect((await post(`${path}/Fast`, { headers: binary, body: valid })).status).toBe(200);
});

test("a body that never comes ends with the deadline in both lanes", async () => {
  for (const method of ["Fast", "Slow"]) {
    const socket: Socket = connect(Number(new URL(server.addresses.http).port), "127.0.0.1");
    const answer = new Promise<string>((resolve) => socket.once("data", (chunk: Buffer) => resolve(chunk.toString())));
    socket.write(
      `POST ${path}/${method} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nContent-Type: application/json\r\nConnect-Timeout-Ms: 50\r\nContent-Length: 100\r\n\r\n{`,
    );
    expect(await answer).toStartWith("HTTP/1.1 504");
    socket.destroy();
  }
});

/** The status of the answer to two chunks of a body that never ends, of which 1000 bytes are taken. */
async function statusOfEndless(url: string, start: typeof startProbeServer): Promise<string> {
  await using small = await start({ limits: { readBytesMax: 1000 } });
  const socket = connect(Number(new URL(small.addresses.http).port), "127.0.0.1");
  const answer = new Promise<string>((resolve) => socket.once("data", (part: Buffer) => resolve(part.toString())));
  const chunk = `320\r\n${" ".repeat(800)}\r\n`;
  socket.write(
    `POST ${url} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nContent-Type: application/json\r\nConnect-Timeout-Ms: 500\r\nTransfer-Encoding: chunked\r\n\r\n${chunk}${chunk}`,
  );
  const status = (await answer).slice(9, 12);
  socket.destroy();
  return status;
}

test("a body in chunks is refused as soon as it is too large, though its end never comes", async () => {
  expect(await statusOfEndless(`${path}/Fast`, startProbeServer)).toBe("429");
  expect(await statusOfEndless(`${path}/Slow`, startProbeServer)).toBe("429");
  expect(await statusOfEndless("/api/v1/probes/a", startProbeServer)).toBe("413");
  const patient = await importMutant<{ startProbeServer: typeof startProbeServer }>(
    `${import.meta.dir}/fast-path.ts`,
    "readMessage(call, request, readBytesMax,",
    "readMessage(call, request, Infinity,",
    [`${import.meta.dir}/../testdata/start-probe-server.ts`],
  );
  expect(await statusOfEndless(`${path}/Fast`, patient.startProbeServer)).toBe("504");
});

test.each([
  [`${path}/Fast`, "connect Fast canceled"],
  [`${path}/Slow`, "connect Slow canceled"],
  ["/api/v1/probes/a", "rest Fast canceled"],
])("a request to %s that is cut off is canceled, and nobody's fault", async (url, end) => {
  const before = { ended: server.ended.length, lines: server.lines.length };
  const socket = connect(Number(new URL(server.addresses.http).port), "127.0.0.1");
  socket.write(
    `POST ${url} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer good\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{`,
    () => setImmediate(() => socket.destroy()),
  );
  await eventually(() => expect(server.ended.slice(before.ended)).toEqual([end]));
  expect(server.lines.slice(before.lines)).toEqual([]);
});

test("a method without side effects answers a Connect GET, and others do not", async () => {
  const query = `?connect=v1&encoding=json&message=${encodeURIComponent(`{"name":"abc"}`)}`;
  const look = await fetch(`${server.addresses.http}${path}/Look${query}`);
  expect([look.status, await look.json()]).toEqual([200, { request: { name: "abc" } }]);
  expect((await fetch(`${server.addresses.http}${path}/Fast${query}`, { headers: good })).status).toBe(405);
});

test("a call as curl makes it by default is told what to send instead", async () => {
  const body = `{"name":"abc"}`;
  const headers = { ...good, "content-type": "application/x-www-form-urlencoded" };
  for (const name of ["Fast", "Slow"]) {
    const form = await fetch(`${server.addresses.http}${path}/${name}`, { method: "POST", headers, body });
    expect([form.status, await form.text()]).toEqual([
      415,
      "content-type application/x-www-form-urlencoded is not taken here: send JSON with content-type: application/json, " +
        "or what Connect, gRPC or gRPC-Web asks for\n",
    ]);
  }
  const get = await fetch(`${server.addresses.http}${path}/Slow`, { headers: good });
  expect([get.status, await get.text()]).toEqual([405, "GET is not served here, but POST\n"]);
  const rest = await fetch(`${server.addresses.http}/api/v1/probes/a`, { method: "POST", headers, body });
  expect(await rest.json()).toMatchObject({
    error: {
      code: 415,
      message:
        "content-type application/x-www-form-urlencoded is not taken: send the body as JSON with content-type: application/json",
    },
  });
});
