import { expect, test } from "bun:test";
import { once } from "node:events";
import { connect as connectHttp2, type OutgoingHttpHeaders } from "node:http2";
import { connect } from "node:net";
import { join } from "node:path";
import { createTestIssuer } from "../../testing/certificates.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import { startProbeServer } from "../testdata/start-probe-server.ts";

/** Sends a head over HTTP/1.1 and returns the status of the answer, and whether the connection was closed after it. */
async function sendHead(url: string, head: string): Promise<string> {
  const socket = connect(Number(new URL(url).port), "127.0.0.1");
  socket.write(`${head}\r\nConnection: close\r\n\r\n`);
  let answer = "";
  socket.on("data", (chunk) => (answer += String(chunk)));
  await once(socket, "close");
  return answer.split(" ")[1] ?? "";
}

/** Sends a head over HTTP/2 and returns the status of the answer, or that there was none. */
async function sendHeaders(url: string, headers: OutgoingHttpHeaders): Promise<number | "reset"> {
  const session = connectHttp2(url);
  try {
    const request = session.request(headers);
    request.end();
    const [answer] = (await once(request, "response")) as [{ readonly ":status"?: number }];
    return answer[":status"] ?? 0;
  } catch {
    return "reset";
  } finally {
    session.destroy();
  }
}

async function expectHostsToCount(start: typeof startProbeServer): Promise<void> {
  await using server = await start();
  const { http } = server.addresses;
  expect(await sendHead(http, "GET /healthz HTTP/1.1\r\nHost: a")).toBe("200");
  expect(await sendHead(http, "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b")).toBe("400");
  expect(await sendHead(http, "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: a")).toBe("400");
  expect(await sendHead(http, "GET /healthz HTTP/1.1\r\nAccept: */*")).toBe("400");
  expect(await sendHead(http, "GET /healthz#a HTTP/1.1\r\nHost: a")).toBe("400");
}

async function expectMethodsToCount(start: typeof startProbeServer): Promise<void> {
  await using server = await start();
  const { http, grpc } = server.addresses;
  expect(await sendHead(http, "TRACE /healthz HTTP/1.1\r\nHost: a\r\nCookie: secret")).toBe("405");
  expect(await sendHead(http, "CONNECT a:443 HTTP/1.1\r\nHost: a:443")).toBe("405");
  expect(await sendHeaders(http, { ":method": "TRACE", ":path": "/healthz" })).toBe(405);
  expect(await sendHeaders(http, { ":method": "CONNECT", ":authority": "a:443" })).not.toBe(200);
  expect(await sendHeaders(`http://${grpc}`, { ":method": "TRACE", ":path": "/" })).toBe(405);
  expect(await sendHeaders(`http://${grpc}`, { ":method": "CONNECT", ":authority": "a:443" })).toBeOneOf([
    405,
    "reset",
  ]);
}

async function allowed(url: string, method: string): Promise<readonly [status: number, allow: string | null]> {
  const { status, headers } = await fetch(url, { method });
  return [status, headers.get("allow")];
}

test("each 405 says what is answered", async () => {
  await using server = await startProbeServer({ operator: { host: "127.0.0.1", port: 0, pages: {} } });
  const { http, grpc, operator } = server.addresses;
  const every = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS";
  expect(await allowed(`${http}/healthz`, "TRACE")).toEqual([405, every]);
  expect(await allowed(`${operator}/metrics`, "TRACE")).toEqual([405, "GET, HEAD"]);
  expect(await allowed(`${operator}/metrics`, "POST")).toEqual([405, "GET, HEAD"]);
  const session = connectHttp2(`http://${grpc}`);
  try {
    const request = session.request({ ":method": "TRACE", ":path": "/" });
    request.end();
    const [answer] = (await once(request, "response")) as [{ readonly ":status"?: number; readonly allow?: string }];
    expect([answer[":status"], answer.allow]).toEqual([405, "POST"]);
  } finally {
    session.destroy();
  }
});

test("a request names one host", () => expectHostsToCount(startProbeServer));

test("nor is a host named twice over HTTP/2", async () => {
  await using server = await startProbeServer();
  const { http, grpc } = server.addresses;
  const two = { ":method": "GET", ":path": "/healthz", ":authority": "a", host: "b" };
  expect(await sendHeaders(http, two)).toBeOneOf([400, "reset"]);
  expect(await sendHeaders(`http://${grpc}`, two)).toBe(400);
});

test("CONNECT and TRACE are not answered", () => expectMethodsToCount(startProbeServer));

test.each([
  ["a second host", expectHostsToCount, 'host?.includes(",") === true', "false"],
  ["a fragment", expectHostsToCount, 'url.includes("#")', "false"],
  ["TRACE", expectMethodsToCount, '"CONNECT", "TRACE"', '"CONNECT"'],
  ["CONNECT", expectMethodsToCount, '"CONNECT", "TRACE"', '"TRACE"'],
])("the tests notice when %s passes", async (_, check, from, to) => {
  const through = [join(import.meta.dir, "../testdata/start-probe-server.ts")];
  const mutant = await importMutant<{ startProbeServer: typeof startProbeServer }>(
    join(import.meta.dir, "request-head.ts"),
    from,
    to,
    through,
  );
  await caught(() => check(mutant.startProbeServer));
});

test("every reply of the HTTP port is marked for browsers, and over TLS they are told to stay with it", async () => {
  using issuer = await createTestIssuer();
  const tls = await issuer.issue();
  for (const options of [{}, { tls }]) {
    await using server = await startProbeServer(options);
    const { http } = server.addresses;
    const read = async (path: string, init?: RequestInit) => {
      const { headers } = await fetch(`${http}${path}`, { ...init, tls: { ca: issuer.ca } });
      return [headers.get("x-content-type-options"), headers.get("strict-transport-security")];
    };
    const marks = ["nosniff", "tls" in options ? "max-age=31536000" : null];
    expect(await read("/healthz")).toEqual(marks);
    expect(await read("/openapi.json")).toEqual(marks);
    expect(await read("/nowhere")).toEqual(marks);
    expect(await read("/api/v1/looks/a")).toEqual(marks);
    expect(await read("/muin.probe.v1.ProbeService/Fast", { method: "POST", body: "{}" })).toEqual(marks);
    const preflight = { origin: "http://localhost:1", "access-control-request-method": "POST" };
    expect(await read("/healthz", { method: "OPTIONS", headers: preflight })).toEqual(marks);
  }
});
