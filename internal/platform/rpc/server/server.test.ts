import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect } from "node:http2";
import { join } from "node:path";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../gen/grpc/health/v1/health_pb.ts";
import { ServerReflection } from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import { ServerReflection as ServerReflectionAlpha } from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";
import { eventually } from "../../testing/eventually.ts";
import { importMutant } from "../../testing/mutant.ts";
import { callerAddress } from "./address.ts";
import { PortTakenError } from "./port-taken-error.ts";
import { ProbeService } from "../testdata/probe_pb.ts";
import { probeAuthenticator } from "../testdata/probe-service.ts";
import { createProbeServer, startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";

const headers = { authorization: "Bearer good" };
const overConnect = (server: ProbeServer) =>
  createClient(ProbeService, createConnectTransport({ baseUrl: server.addresses.http, httpVersion: "1.1" }));
const overGrpc = (server: ProbeServer) => createGrpcTransport({ baseUrl: `http://${server.addresses.grpc}` });
const codeOf = (work: Promise<unknown>): Promise<Code | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );

async function* requests(...names: string[]): AsyncIterable<{ name: string }> {
  for (const name of names) yield { name };
}

describe("load", () => {
  test("calls beyond the limit are refused in every lane and told when to come again; room comes back", async () => {
    await using server = await startProbeServer({ limits: { callsInFlightMax: 3 } });
    const client = overConnect(server);
    const aborts = Array.from({ length: 3 }, () => new AbortController());
    const held = aborts.map(({ signal }) =>
      codeOf(Array.fromAsync(client.stream({ name: "a", repeat: 1, act: "hang" }, { headers, signal }))),
    );
    await eventually(async () =>
      expect(await codeOf(client.slow({ name: "a" }, { headers }))).toBe(Code.ResourceExhausted),
    );
    const grpc = createClient(ProbeService, overGrpc(server));
    expect(await codeOf(client.fast({ name: "a" }, { headers }))).toBe(Code.ResourceExhausted);
    expect(await codeOf(grpc.slow({ name: "a" }, { headers }))).toBe(Code.ResourceExhausted);
    const rest = await fetch(`${server.addresses.http}/api/v1/probes/a`, { method: "POST", headers });
    expect([rest.status, rest.headers.get("retry-after")]).toEqual([429, "1"]);
    expect(JSON.stringify(await rest.json())).toContain(`"reason":"OVERLOADED"`);
    const health = createClient(Health, overGrpc(server));
    expect(await health.check({})).toMatchObject({ status: Status.SERVING });
    for (const abort of aborts) abort.abort();
    expect(await Promise.all(held)).toEqual([Code.Canceled, Code.Canceled, Code.Canceled]);
    await eventually(async () => expect(await codeOf(client.fast({ name: "a" }, { headers }))).toBeUndefined());
  });
});

test("a call whose caller names no deadline has the server's, and one that names too long a deadline is refused", async () => {
  await using server = await startProbeServer({ limits: { timeoutMsDefault: 60, timeoutMsMax: 1000 } });
  const grpc = createClient(ProbeService, overGrpc(server));
  const client = overConnect(server);
  const hang = { name: "a", act: "hang" };
  for (const call of [client.fast, client.slow, grpc.slow]) {
    expect(await codeOf(call(hang, { headers }))).toBe(Code.DeadlineExceeded);
    expect(server.events.timeoutMs).toBeWithin(1, 61);
    const long = { ...headers, "connect-timeout-ms": "9999999999", "grpc-timeout": "99999999S" };
    expect(await codeOf(call(hang, { headers: long }))).toBe(Code.InvalidArgument);
  }
  const json = { ...headers, "content-type": "application/json" };
  const late = await fetch(`${server.addresses.http}/api/v1/probes/a`, {
    method: "POST",
    headers: json,
    body: `{"act":"hang"}`,
  });
  expect(late.status).toBe(504);
});

test("a public method takes callers without credentials, and not those with bad ones", async () => {
  await using server = await startProbeServer();
  for (const client of [overConnect(server), createClient(ProbeService, overGrpc(server))]) {
    expect(await codeOf(client.look({ name: "a" }))).toBeUndefined();
    const forged = { headers: { authorization: "Bearer forged" } };
    expect(await codeOf(client.look({ name: "a" }, forged))).toBe(Code.Unauthenticated);
  }
  const forged = { headers: { authorization: "Bearer forged" } };
  expect((await fetch(`${server.addresses.http}/api/v1/looks/a`, forged)).status).toBe(401);
});

test("Idempotency-Key is refused where there is no request_id to mean", async () => {
  await using server = await startProbeServer();
  const key = { headers: { "idempotency-key": "12345678" } };
  for (const client of [overConnect(server), createClient(ProbeService, overGrpc(server))]) {
    expect(await codeOf(client.look({ name: "a" }, key))).toBe(Code.InvalidArgument);
  }
  const rest = await fetch(`${server.addresses.http}/api/v1/looks/a`, key);
  expect([rest.status, await rest.text()]).toEqual([400, expect.stringContaining("IDEMPOTENCY_KEY_UNSUPPORTED")]);
});

describe("streams", () => {
  test.each(["connect", "grpc"] as const)(
    "over %s, a stream is released when its reader goes away",
    async (protocol) => {
      await using server = await startProbeServer();
      const client = protocol === "grpc" ? createClient(ProbeService, overGrpc(server)) : overConnect(server);
      const abort = new AbortController();
      const read = async (): Promise<void> => {
        for await (const _ of client.stream(
          { name: "a", repeat: 99, act: "hang" },
          { headers, signal: abort.signal },
        )) {
          abort.abort();
        }
      };
      expect(await codeOf(read())).toBe(Code.Canceled);
      await eventually(() => expect(server.ended).toEqual([`${protocol} Stream canceled`]));
    },
  );

  test("every kind of stream works over gRPC, and each message is validated", async () => {
    await using server = await startProbeServer();
    const client = createClient(ProbeService, overGrpc(server));
    expect(await client.collect(requests("a", "b"), { headers })).toMatchObject({ name: "b", amount: 2n });
    expect((await Array.fromAsync(client.chat(requests("a", "b"), { headers }))).map(({ name }) => name)).toEqual([
      "a",
      "b",
    ]);
    expect(await codeOf(Array.fromAsync(client.chat(requests("a", "INVALID"), { headers })))).toBe(
      Code.InvalidArgument,
    );
    expect(await codeOf(Array.fromAsync(client.stream({ name: "a", act: "throw" }, { headers })))).toBe(Code.Internal);
    expect(await codeOf(Array.fromAsync(client.stream({ name: "a" })))).toBe(Code.Unauthenticated);
    const late = client.stream({ name: "a", act: "hang" }, { headers: { ...headers, "grpc-timeout": "50m" } });
    expect(await codeOf(Array.fromAsync(late))).toBe(Code.DeadlineExceeded);
  });
});

describe("stopping", () => {
  test("health fails first, calls under way finish, others are told", async () => {
    let ready: string | undefined;
    const server = await startProbeServer({ readiness: () => ready, shutdownGraceMs: 300, drainMs: 200 });
    const http = (path: string) => fetch(server.addresses.http + path);
    const health = createClient(Health, overGrpc(server));
    expect((await http("/readyz")).status).toBe(200);
    ready = "the counts store is away";
    expect([(await http("/readyz")).status, await (await http("/readyz")).text()]).toEqual([503, "not ready\n"]);
    expect((await http("/healthz")).status).toBe(200);
    expect(await health.check({ service: ProbeService.typeName })).toMatchObject({ status: Status.NOT_SERVING });
    ready = undefined;
    expect(await codeOf(health.check({ service: "nobody" }))).toBe(Code.NotFound);
    expect(Object.keys((await health.list({})).statuses)).toEqual(["", ProbeService.typeName]);

    const watched: Status[] = [];
    const watching = (async () => {
      for await (const { status } of health.watch({})) watched.push(status);
    })().catch(() => undefined); // The stop ends it.
    await eventually(() => expect(watched).toEqual([Status.SERVING]));
    const client = overConnect(server);
    const hanging = codeOf(client.slow({ name: "a", act: "hang" }, { headers }));
    const hangingFast = codeOf(client.fast({ name: "a", act: "hang" }, { headers }));
    await eventually(() => expect(server.events.timeoutMs).toBeGreaterThan(29_000));
    const stopped = server.stop();
    expect((await http("/readyz")).status).toBe(503);
    expect(await codeOf(client.fast({ name: "a" }, { headers }))).toBeUndefined();
    await eventually(() => expect(watched).toEqual([Status.SERVING, Status.NOT_SERVING]));
    expect(await hanging).toBe(Code.Unavailable);
    expect(await hangingFast).toBe(Code.Unavailable);
    await stopped;
    await watching;
    expect(await server.stop()).toBeUndefined();
    expect(await http("/healthz").catch(() => "refused")).toBe("refused");
  });
});

test("a stream does not hold up a stop as long as a call may", async () => {
  const server = await startProbeServer({ shutdownGraceMs: 3_600_000 });
  const clients = [overConnect(server), createClient(ProbeService, overGrpc(server))];
  const streams = clients.map((client) =>
    client.stream({ name: "a", repeat: 1, act: "hang" }, { headers })[Symbol.asyncIterator](),
  );
  for (const stream of streams) await stream.next();
  const ends = streams.map((stream) => codeOf(stream.next()));
  await server.stop(); // In an hour, if it waited for them.
  expect(await Promise.all(ends)).toEqual([Code.Unavailable, Code.Unavailable]);
});

/** Has a long reply stand at its caller unread while the server is told to stop. Returns the bytes that the caller then gets of it. */
async function readDuringStop(port: "http" | "grpc", create: typeof createProbeServer): Promise<number> {
  const server = create({ shutdownGraceMs: 60_000 }); // However slowly it is read.
  await server.start();
  const { http, grpc } = server.addresses();
  const path = "/muin.probe.v1.ProbeService/Slow";
  const message = JSON.stringify({ name: "a", act: "long" });
  const session = connect(port === "http" ? http : `http://${grpc}`);
  session.on("error", () => undefined); // What was read by then tells.
  const frame = Buffer.alloc(port === "http" ? 0 : 5);
  if (port === "grpc") frame.writeUInt32BE(message.length, 1);
  const type = port === "http" ? "application/json" : "application/grpc+json";
  const stream = session.request({ ":method": "POST", ":path": path, "content-type": type, ...headers });
  stream.on("error", () => undefined);
  const closed = new Promise((resolve) => stream.once("close", resolve));
  stream.end(Buffer.concat([frame, Buffer.from(message)]));
  await once(stream, "response");
  const stopped = server.stop();
  await eventually(() => codeOf(fetch(`${http}/healthz`)).then((code) => expect(code).toBeDefined())); // It listens no longer.
  let bytes = 0;
  stream.on("data", (chunk: Buffer) => (bytes += chunk.length));
  await Promise.all([stopped, closed]);
  session.destroy();
  return bytes;
}

test.each(["http", "grpc"] as const)("a stop lets a reply on the %s port be read to its end", async (port) => {
  expect(await readDuringStop(port, createProbeServer)).toBeGreaterThan(16 << 20);
});

test("a mutant that closes connections under a reply is noticed", async () => {
  const through = [join(import.meta.dir, "../testdata/start-probe-server.ts")];
  const mutant = await importMutant<{ createProbeServer: typeof createProbeServer }>(
    join(import.meta.dir, "server.ts"),
    "life.inFlight() > 0 || ports.some((port) => port.pending() > 0)",
    "life.inFlight() > 0",
    through,
  );
  expect(await readDuringStop("http", mutant.createProbeServer)).toBeLessThan(16 << 20);
});

test("a stop during the start leaves nothing listening, and a start after a stop does nothing", async () => {
  const server = createProbeServer();
  const starting = server.start();
  await Promise.all([server.stop(), starting]);
  await server.start();
  expect(() => server.addresses()).toThrow("has not started");
});

test.each(["http", "grpc"] as const)("a taken %s port is named, and nothing is left listening", async (which) => {
  await using first = await startProbeServer();
  const port = Number(new URL(which === "http" ? first.addresses.http : `http://${first.addresses.grpc}`).port);
  const error: unknown = await startProbeServer({ [which]: { host: "127.0.0.1", port } }).catch(
    (thrown: unknown) => thrown,
  );
  expect(error).toBeInstanceOf(PortTakenError);
  expect(error).toMatchObject({ which, port });
});

test("the caller's address is the peer's, or what the trusted hops say", async () => {
  const forged = { ...headers, "x-forwarded-for": "9.9.9.9, 8.8.8.8" };
  for (const [trustedHops, address] of [
    [0, "127.0.0.1"],
    [1, "8.8.8.8"],
    [2, "9.9.9.9"],
  ] as const) {
    await using server = await startProbeServer({ trustedHops });
    for (const call of [
      overConnect(server).fast,
      overConnect(server).slow,
      createClient(ProbeService, overGrpc(server)).slow,
    ]) {
      await call({ name: "a" }, { headers: forged });
      expect(server.events.address).toBe(address);
    }
  }
});

test.each<readonly [peer: string, forwardedFor: string | null, hops: number, address: string]>([
  ["127.0.0.1", "192.0.2.1", 3, "192.0.2.1"],
  ["127.0.0.1", "[2001:db8::1]:443", 1, "2001:db8::1"],
  ["127.0.0.1", "192.0.2.1:5678", 1, "192.0.2.1"],
  ["127.0.0.1", "9.9.9.9, ::ffff:192.0.2.1", 1, "192.0.2.1"],
  ["127.0.0.1", "9.9.9.9, unknown", 1, "127.0.0.1"],
  ["127.0.0.1", "9.9.9.9, ", 1, "127.0.0.1"],
  ["127.0.0.1", "", 1, "127.0.0.1"],
  ["127.0.0.1", null, 1, "127.0.0.1"],
  ["127.0.0.1", "192.0.2.1", 0, "127.0.0.1"],
  ["::ffff:127.0.0.1", null, 0, "127.0.0.1"],
  ["fe80::1%eth0", null, 0, "fe80::1"],
  ["", null, 0, "unknown"],
])("a call from peer %p with X-Forwarded-For %p through %p hops comes from %p", (peer, forwardedFor, hops, address) => {
  expect(callerAddress(peer, forwardedFor, hops)).toBe(address);
});

test("mutant: a text that is no address would make networks at will", async () => {
  const mutant = await importMutant<{ callerAddress: typeof callerAddress }>(
    join(import.meta.dir, "address.ts"),
    'return readAddress(entries[Math.max(0, entries.length - hops)] ?? "");',
    "return entries[Math.max(0, entries.length - hops)]?.trim();",
  );
  expect(mutant.callerAddress("127.0.0.1", "unknown", 1)).toBe("unknown");
});

test("who tells callers is told the address that the trusted hops saw, in every lane", async () => {
  const told = new Set<string | undefined>();
  await using server = await startProbeServer({
    trustedHops: 1,
    authenticator: {
      authenticate: (authorization, peer) => {
        told.add(peer?.address());
        return probeAuthenticator.authenticate(authorization);
      },
    },
  });
  const sent = { headers: { ...headers, "x-forwarded-for": "192.0.2.1:4321" } };
  await overConnect(server).fast({ name: "a" }, sent);
  await overConnect(server).slow({ name: "a" }, sent);
  await createClient(ProbeService, overGrpc(server)).slow({ name: "a" }, sent);
  expect([...told]).toEqual(["192.0.2.1"]);
});

/** Headers of two requests on each port, of a server that trusts some hops: what it then says. */
async function forwardingSeen(trustedHops: number, header: string) {
  await using server = await startProbeServer({ trustedHops });
  const sent = { headers: { ...headers, [header]: "192.0.2.1" } };
  await overConnect(server).fast({ name: "a" }, sent);
  await overConnect(server).slow({ name: "a" }, sent);
  await createClient(ProbeService, overGrpc(server)).slow({ name: "a" }, sent);
  return {
    notices: server.notices(),
    logged: server.lines.filter(({ message }) => message.includes("no proxy")).length,
  };
}

test("a forwarding header that nobody may be trusted for is named, in the log once", async () => {
  const seen = await forwardingSeen(0, "x-forwarded-for");
  expect(seen).toEqual({ notices: [expect.stringContaining("X-Forwarded-For")], logged: 1 });
  expect(await forwardingSeen(0, "forwarded")).toMatchObject({ notices: [expect.stringContaining("with Forwarded")] });
  expect(await forwardingSeen(1, "x-forwarded-for")).toEqual({ notices: [], logged: 0 });
  expect(await forwardingSeen(0, "x-other")).toEqual({ notices: [], logged: 0 });
});

test("pages are served, and pages of other origins may call only when they are let", async () => {
  await using server = await startProbeServer({
    cors: { origins: ["https://console.example"] },
    extraRoutes: { "/": () => new Response("home"), "/assets/*": (request) => new Response(request.url) },
  });
  const url = server.addresses.http;
  expect(await (await fetch(url)).text()).toBe("home");
  expect(await (await fetch(`${url}/assets/a.js`)).text()).toBe(`${url}/assets/a.js`);
  const preflight = (origin: string) =>
    fetch(`${url}/muin.probe.v1.ProbeService/Fast`, {
      method: "OPTIONS",
      headers: { origin, "access-control-request-method": "POST" },
    });
  const known = await preflight("https://console.example");
  expect([known.status, known.headers.get("access-control-allow-origin")]).toEqual([204, "https://console.example"]);
  const other = await preflight("https://evil.example");
  expect([other.status, other.headers.get("access-control-allow-origin")]).toEqual([403, null]);
  const local = await startProbeServer();
  const allowedTo = async (origin: string): Promise<string | null> => {
    const url = `${local.addresses.http}/api/v1/probes/a`;
    const reply = await fetch(url, { method: "POST", headers: { ...headers, origin } });
    return reply.headers.get("access-control-allow-origin");
  };
  expect(await allowedTo("http://localhost:5173")).toBe("http://localhost:5173");
  // An app's own scheme is no page of this machine, and the others are no origins.
  for (const origin of ["app://localhost", "http://localhost/x", "http://ada@localhost", "http://127.1"]) {
    expect([origin, await allowedTo(origin)]).toEqual([origin, null]);
  }
  await local.stop();
});

test.each([
  ["v1", ServerReflection],
  ["v1alpha", ServerReflectionAlpha as unknown as typeof ServerReflection],
] as const)("reflection %s tells services, files and symbols", async (_, service) => {
  await using server = await startProbeServer();
  const client = createClient(service, overGrpc(server));
  const asks = [
    { case: "listServices", value: "" },
    { case: "fileContainingSymbol", value: "muin.probe.v1.ProbeService.Fast" },
    { case: "fileByFilename", value: "muin/platform/v1/options.proto" },
    { case: "fileContainingSymbol", value: "nobody" },
    { case: "allExtensionNumbersOfType", value: "google.protobuf.MethodOptions" },
    {
      case: "fileContainingExtension",
      value: { containingType: "google.protobuf.MethodOptions", extensionNumber: 50001 },
    },
    { case: "fileContainingSymbol", value: "google.rpc.ErrorInfo" },
    { case: "fileContainingSymbol", value: "google.rpc.BadRequest" },
    { case: "fileContainingSymbol", value: "google.rpc.Status" },
  ] as const;
  const requests = async function* requests() {
    for (const messageRequest of asks) yield { messageRequest };
  };
  const replies = (await Array.fromAsync(client.serverReflectionInfo(requests(), { headers }))).map(
    (each) => each.messageResponse,
  );
  const filesIn = (reply: (typeof replies)[number]): string[] =>
    reply.case === "fileDescriptorResponse"
      ? reply.value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).name)
      : [];
  expect(replies[0]).toMatchObject({
    value: {
      service: [
        { name: "muin.probe.v1.ProbeService" },
        { name: "grpc.health.v1.Health" },
        { name: ServerReflection.typeName },
        { name: ServerReflectionAlpha.typeName },
      ],
    },
  });
  expect(filesIn(replies[1]!)[0]).toBe("muin/probe/v1/probe.proto");
  expect(filesIn(replies[1]!)).toContain("google/protobuf/timestamp.proto");
  expect(filesIn(replies[2]!)).toEqual(["muin/platform/v1/options.proto", "google/protobuf/descriptor.proto"]);
  expect(replies[3]).toMatchObject({ case: "errorResponse", value: { errorCode: Code.NotFound } });
  expect(replies[4]).toMatchObject({ value: { extensionNumber: expect.arrayContaining([50001]) as number[] } });
  expect(filesIn(replies[5]!)[0]).toBe("muin/platform/v1/options.proto");
  // By these a client such as grpcurl shows an error's details, which no method's file imports.
  expect(replies.slice(6).map((reply) => filesIn(reply))).toEqual([
    ["google/rpc/error_details.proto", "google/protobuf/duration.proto"],
    ["google/rpc/error_details.proto", "google/protobuf/duration.proto"],
    ["google/rpc/status.proto", "google/protobuf/any.proto"],
  ]);
});

test("asking who calls belongs to the call's span, and a failure names the RPC beside the log's own service", async () => {
  let within = 0;
  const asked: number[] = [];
  await using server = await startProbeServer({
    observer: {
      begin: () => ({
        traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        end: () => undefined,
        run: (work) => {
          within += 1;
          try {
            return work();
          } finally {
            within -= 1;
          }
        },
      }),
    },
    authenticator: {
      authenticate: (authorization) => {
        asked.push(within);
        return probeAuthenticator.authenticate(authorization);
      },
    },
  });
  for (const method of ["Fast", "Slow"]) {
    const response = await fetch(`${server.addresses.http}/muin.probe.v1.ProbeService/${method}`, {
      method: "POST",
      headers: { authorization: "Bearer good", "content-type": "application/json" },
      body: `{"name":"abc","act":"throw"}`,
    });
    expect(response.status).toBe(500);
  }
  expect(asked).toEqual([1, 1]);
  expect(server.lines).toEqual(
    ["Fast", "Slow"].map((method) => ({
      message: "call failed",
      fields: {
        rpc_service: "muin.probe.v1.ProbeService",
        rpc_method: method,
        code: "internal",
        err: expect.any(Error),
      },
    })),
  );
});
