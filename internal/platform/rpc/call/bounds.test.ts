import { createClient, ConnectError } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { afterEach, describe, expect, test } from "bun:test";
import { connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../gen/grpc/health/v1/health_pb.ts";
import { eventually } from "../../testing/eventually.ts";
import { importMutant } from "../../testing/mutant.ts";
import { createProbeService, probeAuthenticator, recordingObserver } from "../testdata/probe-service.ts";
import { ProbeService } from "../testdata/probe_pb.ts";
import * as real from "../testdata/start-probe-server.ts";
import type { ProbeServer, ProbeServerOptions } from "../testdata/start-probe-server.ts";
import { defaultRpcLimits } from "./limits.ts";

type Start = Pick<typeof real, "startProbeServer">;

const path = "/muin.probe.v1.ProbeService";
const known = { authorization: "Bearer good" };
/** Addresses of peers, as the one trusted hop tells them. */
const fromPeer = (peer: string): Record<string, string> => ({ "x-forwarded-for": peer });

const through = [join(import.meta.dir, "../testdata/start-probe-server.ts")];
const mutate = (file: string, from: string, to: string): Promise<Start> =>
  importMutant<Start>(join(import.meta.dir, file), from, to, through);

/** A server behind one hop whose `Look`, which anybody may call, answers once `open` was called. */
async function start({ startProbeServer }: Start, options: ProbeServerOptions) {
  const gate = Promise.withResolvers<void>();
  const probe = createProbeService({ released: 0, address: "", timeoutMs: undefined });
  const impl = { ...probe.impl, look: (request: unknown) => gate.promise.then(() => ({ request })) };
  const observer = recordingObserver([]);
  let begun = 0;
  const server = await startProbeServer({
    served: [{ ...probe, impl } as unknown as typeof probe],
    trustedHops: 1,
    observer: {
      begin: (about) => {
        begun += 1;
        return observer.begin(about);
      },
    },
    ...options,
  });
  return {
    server,
    open: () => gate.resolve(),
    /** Waits until so many calls have begun. */
    begun: (count: number) => eventually(() => expect(begun).toBe(count)),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

const sockets: { destroy(): void }[] = [];
afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

/** Sends the head of a call, and of its body only what is said; resolves with the answer's beginning. */
function begin(
  { addresses }: ProbeServer,
  url: string,
  headers: Record<string, string>,
  body = "",
): { readonly socket: Socket; readonly answer: Promise<string> } {
  const socket = connect(Number(new URL(addresses.http).port), "127.0.0.1");
  socket.on("error", () => undefined); // A test that is over has closed it.
  sockets.push(socket);
  const answer = new Promise<string>((resolve) => {
    let text = "";
    socket.on("data", (chunk: Buffer) => {
      text += chunk.toString();
      if (text.includes("\r\n\r\n")) resolve(text);
    });
  });
  const all = {
    host: "a",
    "content-type": "application/json",
    ...("transfer-encoding" in headers ? {} : { "content-length": "100" }),
    ...headers,
  };
  const head = Object.entries(all).map(([name, value]) => `${name}: ${value}\r\n`);
  socket.write(`POST ${url} HTTP/1.1\r\n${head.join("")}\r\n${body}`);
  return { socket, answer };
}

/** No refusal takes as long, in milliseconds. */
const answerMsMax = 1000;

/** What a call comes to: its HTTP status and the error's reason; "none" when no answer comes. */
async function call({ addresses }: ProbeServer, url: string, headers: Record<string, string>): Promise<string> {
  const answer = await fetch(addresses.http + url, {
    method: "POST",
    headers: { "content-type": "application/json", ...headers },
    body: url.startsWith("/api") ? "{}" : `{"name":"abc"}`,
    signal: AbortSignal.timeout(answerMsMax),
  }).catch(() => undefined);
  if (answer === undefined) return "none";
  return `${answer.status}${/"reason":"([A-Z_]+)"/.exec(await answer.text())?.[1]?.replace(/^/, " ") ?? ""}`;
}

const slow = (server: ProbeServer): Promise<string> => call(server, `${path}/Slow`, known);
const look = (server: ProbeServer, peer: string): Promise<string> => call(server, `${path}/Look`, fromPeer(peer));

/** How a known caller fares while known calls that send no body outnumber the places, over both ports. */
async function besideEmpty(from: Start): Promise<string[]> {
  await using started = await start(from, { limits: { callsInFlightMax: 2 } });
  const { server } = started;
  for (const url of [`${path}/Fast`, `${path}/Slow`, "/api/v1/probes/a"]) {
    for (let count = 0; count < 3; count += 1) begin(server, url, { ...known, "connect-timeout-ms": "86400000" });
  }
  const session = connectHttp2(`http://${server.addresses.grpc}`);
  session.on("error", () => undefined);
  sockets.push(session);
  for (let count = 0; count < 3; count += 1) {
    session.request({
      ":method": "POST",
      ":path": `${path}/Slow`,
      "content-type": "application/grpc",
      ...known,
    });
  }
  await started.begun(12);
  const grpc = createClient(ProbeService, createGrpcTransport({ baseUrl: `http://${server.addresses.grpc}` }));
  return [
    await slow(server),
    await call(server, `${path}/Fast`, known),
    await call(server, "/api/v1/probes/a", known),
    await grpc.slow({ name: "a" }, { headers: known }).then(
      () => "ok",
      (error: unknown) => codeToString(ConnectError.from(error).code),
    ),
  ];
}

describe("a call takes its place once its request is there", () => {
  test("so calls that send nothing keep nobody out", async () => {
    expect(await besideEmpty(real)).toEqual(["200", "200", "200", "ok"]);
  });

  test("a mutant that counts them at once is noticed", async () => {
    const mutant = await mutate("admission.ts", "bodies.expect(call);", "places.enter(call);");
    expect(await besideEmpty(mutant)).toEqual([
      "429 OVERLOADED",
      "429 OVERLOADED",
      "429 OVERLOADED",
      "resource_exhausted",
    ]);
  });
});

/** Places: two for a peer, three in all; how others fare when one peer has taken its two, and when all are taken. */
async function besideStrangers(from: Start): Promise<string[]> {
  const limits = { anonymousCallsPerPeerMax: 2, anonymousCallsMax: 3, callsInFlightMax: 1 };
  await using started = await start(from, { limits });
  const { server } = started;
  const held = [look(server, "192.0.2.1"), look(server, "192.0.2.1")];
  await started.begun(2);
  const refused = [await look(server, "192.0.2.1"), await slow(server)];
  held.push(look(server, "2001:db8::1"));
  await started.begun(5);
  refused.push(await look(server, "2001:db8:0:1::1"), await slow(server));
  started.open();
  return [...refused, ...(await Promise.all(held)), await look(server, "192.0.2.1")];
}

describe("anonymous callers have places of their own", () => {
  const fair = ["429 PEER_OVERLOADED", "200", "429 OVERLOADED", "200", "200", "200", "200", "200"];

  test("few per peer, few in all, and none of a known caller", async () => {
    expect(await besideStrangers(real)).toEqual(fair);
  });

  test("a peer is a network: 64 bits of IPv6", async () => {
    await using started = await start(real, { limits: { anonymousCallsPerPeerMax: 1 } });
    const held = look(started.server, "2001:db8::1");
    await started.begun(1);
    expect(await look(started.server, "2001:db8::2")).toBe("429 PEER_OVERLOADED");
    started.open();
    expect([await held, await look(started.server, "2001:db8::2")]).toEqual(["200", "200"]);
  });

  test("a peer that is refused is told when to come again", async () => {
    await using started = await start(real, { limits: { anonymousCallsPerPeerMax: 0 } });
    const answer = await fetch(`${started.server.addresses.http}/api/v1/looks/a`);
    expect([answer.status, answer.headers.get("retry-after")]).toEqual([429, "1"]);
  });

  test.each([
    ["a bound per peer", "peer-budget.ts", "sum > perPeerMax", "false"],
    ["a bound in all", "peer-budget.ts", "inAll + amount > max", "false"],
    ["places of their own", "places.ts", `call.place = isUnary ? "call"`, `known += 1; call.place = isUnary ? "call"`],
    ["an end of what they take", "places.ts", `else (place === "call" ? calls : streams).give(call, 1);`, ""],
  ])("a mutant without %s is noticed", async (_name, file, from, to) => {
    expect(await besideStrangers(await mutate(file, from, to))).not.toEqual(fair);
  });
});

const urls = [`${path}/Fast`, `${path}/Slow`, "/api/v1/probes/a"];
const day = { "connect-timeout-ms": "86400000" };

/** What unfinished bodies come to whose senders name a day, over both ports; "none" after a second. */
async function lateAnswers(from: Start): Promise<string[]> {
  await using started = await start(from, { limits: { bodyMsMax: 60 } });
  const { server } = started;
  const answers = urls.map((url) => begin(server, url, { ...known, ...day }, "{").answer);
  answers.push(begin(server, `${path}/Look`, day, "{").answer);
  const session = connectHttp2(`http://${server.addresses.grpc}`);
  session.on("error", () => undefined);
  sockets.push(session);
  const stream = session.request({
    ":method": "POST",
    ":path": `${path}/Slow`,
    "content-type": "application/grpc",
    "grpc-timeout": "24H",
    ...known,
  });
  const grpc = new Promise<string>((resolve) => {
    const tell = (headers: object): void =>
      resolve(`grpc ${String((headers as Record<string, unknown>)["grpc-status"])}`);
    stream.on("trailers", tell);
    stream.on("response", (headers) => {
      if ("grpc-status" in headers) tell(headers);
    });
    stream.resume();
  });
  const told = answers.map(async (answer) => {
    const text = await answer;
    return `${text.slice(9, 12)} ${text.includes("the request did not arrive in time")}`;
  });
  return await Promise.all([...told, grpc].map((answer) => Promise.race([answer, Bun.sleep(1000).then(() => "none")])));
}

describe("a body has a time to come that its sender does not choose", () => {
  test("in every lane, known callers' too", async () => {
    expect(await lateAnswers(real)).toEqual(["504 true", "504 true", "504 true", "504 true", "grpc 4"]);
  });

  test("a mutant that waits is noticed", async () => {
    const patient = await mutate("awaited-bodies.ts", "(reason) => call.cut(reason)", "() => undefined");
    expect(await lateAnswers(patient)).toEqual(["none", "none", "none", "none", "none"]);
  });

  test("10 seconds", () => {
    expect(defaultRpcLimits.bodyMsMax).toBe(10_000);
  });
});

const chunked = { "transfer-encoding": "chunked" };
const chunk = `1000\r\n${" ".repeat(0x1000)}\r\n`;

/**
 * A body that is awaited counts for 4 KiB, and for what has come of it. With room for 14 000 bytes of a peer: what becomes of a
 * second body of 4 KiB of its, of one of another peer, and of a known caller's; and of its own once the first is gone.
 */
async function besideUnfinished(from: Start, url: string): Promise<string[]> {
  await using started = await start(from, { limits: { anonymousBodyBytesPerPeerMax: 14_000 } });
  const { server } = started;
  started.open();
  const peer = fromPeer("192.0.2.1");
  const { socket } = begin(server, url, { ...peer, ...chunked }, chunk);
  await started.begun(1);
  const second = begin(server, url, { ...peer, ...chunked }, chunk);
  const text = await Promise.race([second.answer, Bun.sleep(answerMsMax).then(() => "HTTP/1.1 none")]);
  const found = [text.slice(9, 13).trim(), await look(server, "192.0.2.2"), await slow(server)];
  socket.destroy();
  second.socket.destroy();
  await eventually(async () => expect(await look(server, "192.0.2.1")).toBe("200"));
  return found;
}

/** With room for as many empty bodies, those beyond are refused; how a stranger and a known caller fare beside them. */
async function besideAwaited(from: Start, limits: ProbeServerOptions["limits"], headers: Record<string, string>) {
  await using started = await start(from, limits === undefined ? {} : { limits });
  const { server } = started;
  started.open();
  for (let count = 0; count < 3; count += 1) begin(server, `${path}/Look`, headers);
  await started.begun(3);
  return [await look(server, "192.0.2.1"), await look(server, "192.0.2.9"), await slow(server)];
}

/** With room for as many empty bodies of one known caller: how that one fares beside them, and another one. */
async function besideOneCallers(from: Start): Promise<string[]> {
  await using started = await start(from, { limits: { bodyBytesPerCallerMax: 3 * 4200 } });
  const { server } = started;
  for (let count = 0; count < 3; count += 1) begin(server, `${path}/Slow`, known);
  await started.begun(3);
  return [await slow(server), await call(server, `${path}/Slow`, { authorization: "Bearer service" })];
}

describe("what is held of unfinished bodies is bounded", () => {
  test("per known caller", async () => {
    expect(await besideOneCallers(real)).toEqual(["429 OVERLOADED", "200"]);
    const unbounded = await mutate("awaited-bodies.ts", "limits.bodyBytesPerCallerMax", "limits.bodyBytesMax");
    expect(await besideOneCallers(unbounded)).toEqual(["200", "200"]);
    const shared = await mutate("awaited-bodies.ts", ": caller.principal", ': ""');
    expect(await besideOneCallers(shared)).toEqual(["429 OVERLOADED", "429 OVERLOADED"]);
  });

  test("per peer, by what has come of it", async () => {
    for (const url of [`${path}/Look`, "/api/v1/looks:whole"]) {
      expect(await besideUnfinished(real, url)).toEqual(["429", "200", "200"]);
    }
  });

  test("per peer and in all, apart for known callers, though nothing has come of them", async () => {
    const peer = fromPeer("192.0.2.1");
    expect(await besideAwaited(real, { anonymousBodyBytesPerPeerMax: 3 * 4200 }, peer)).toEqual([
      "429 PEER_OVERLOADED",
      "200",
      "200",
    ]);
    expect(await besideAwaited(real, { anonymousBodyBytesMax: 3 * 4200 }, peer)).toEqual([
      "429 OVERLOADED",
      "429 OVERLOADED",
      "200",
    ]);
    expect(await besideAwaited(real, { bodyBytesMax: 3 * 4200 }, known)).toEqual(["200", "200", "429 OVERLOADED"]);
  });

  test.each([
    ["counts nothing", "take(call, awaitedBytes)", "take(call, 0)"],
    ["counts all as known", `caller.kind === "anonymous" ? anonymous : known`, "known"],
  ])("a mutant that %s is noticed", async (_name, from, to) => {
    const mutant = await mutate("awaited-bodies.ts", from, to);
    const peer = fromPeer("192.0.2.1");
    expect((await besideAwaited(mutant, { anonymousBodyBytesPerPeerMax: 3 * 4200 }, peer))[0]).toBe("200");
  });

  test("mutants that count no chunk, or give nothing back, are noticed", async () => {
    for (const [url, file, from] of [
      [`${path}/Look`, "../universal/read-request.ts", "onValue: (chunk) => call.hold?.(call, chunk.byteLength),"],
      ["/api/v1/looks:whole", "read-bytes.ts", "call.hold?.(call, chunk.byteLength);"],
    ] as const) {
      expect((await besideUnfinished(await mutate(file, from, ""), url))[0]).toBe("none");
    }
    const greedy = await mutate("awaited-bodies.ts", "budgetOf(call).give(call, call.heldBytes)", "undefined");
    await using started = await start(greedy, { limits: { anonymousBodyBytesPerPeerMax: 5000 } });
    started.open();
    expect([await look(started.server, "192.0.2.1"), await look(started.server, "192.0.2.1")]).toEqual([
      "200",
      "429 PEER_OVERLOADED",
    ]);
  });
});

/** How many replies come, and how the stream ends. */
async function end(stream: AsyncIterable<unknown>): Promise<string> {
  let replies = 0;
  try {
    for await (const _ of stream) replies += 1;
    return `${replies} ok`;
  } catch (error) {
    return `${replies} ${codeToString(ConnectError.from(error).code)}`;
  }
}

/** Two places for a peer: what three watches, a known caller's among them, and a look at health are told. */
async function watches(from: Start): Promise<string[]> {
  await using started = await start(from, { limits: { anonymousStreamsPerPeerMax: 2, anonymousStreamMsMax: 200 } });
  const transport = createGrpcTransport({ baseUrl: `http://${started.server.addresses.grpc}` });
  const health = createClient(Health, transport);
  const signal = AbortSignal.timeout(2000);
  const ends = [end(health.watch({}, { signal })), end(health.watch({}, { signal }))];
  await started.begun(2);
  const others = [
    await end(health.watch({}, { signal })),
    await end(health.watch({}, { signal, headers: { "x-forwarded-for": "192.0.2.9" } })),
    String((await health.check({})).status === Status.SERVING),
  ];
  return [...others, ...(await Promise.all(ends)), await end(health.watch({}, { signal }))];
}

describe("streams of anonymous callers", () => {
  test("have places of their own, and end without error after a time that nobody chooses", async () => {
    expect(await watches(real)).toEqual(["0 resource_exhausted", "1 ok", "true", "1 ok", "1 ok", "1 ok"]);
  });

  test("30 minutes", () => {
    expect(defaultRpcLimits.anonymousStreamMsMax).toBe(1_800_000);
  });

  test.each([
    ["without an end", "places.ts", "(reason) => call.cut(reason)", "() => undefined"],
    ["that end as failures", "race.ts", "if (error === streamEnd)", "if (error === undefined)"],
    ["without places", "places.ts", "counted || plan.method.methodKind", "counted && plan.method.methodKind"],
  ])("a mutant of streams %s is noticed", async (_name, file, from, to) => {
    expect(await watches(await mutate(file, from, to))).not.toEqual([
      "0 resource_exhausted",
      "1 ok",
      "true",
      "1 ok",
      "1 ok",
      "1 ok",
    ]);
  });
});

/** One place for a peer: what a second call of it is told while the first waits, and one of another peer. */
async function besideUnidentified(from: Start): Promise<string[]> {
  const answer = Promise.withResolvers<void>();
  const authenticator: typeof probeAuthenticator = {
    authenticate: async (authorization) => {
      if (authorization === "Bearer good") await answer.promise;
      return await probeAuthenticator.authenticate("Bearer good");
    },
  };
  await using started = await start(from, { authenticator, limits: { unidentifiedCallsPerPeerMax: 1 } });
  const { server } = started;
  const first = slow(server);
  await started.begun(1);
  const quick = { authorization: "Bearer quick" };
  const others = [
    await call(server, `${path}/Slow`, quick),
    await call(server, `${path}/Slow`, { ...quick, ...fromPeer("192.0.2.9") }),
  ];
  answer.resolve();
  return [...others, await first, await slow(server)];
}

describe("calls of which it is asked who makes them", () => {
  test("are bounded per peer", async () => {
    expect(await besideUnidentified(real)).toEqual(["429 PEER_OVERLOADED", "200", "200", "200"]);
  });

  test("a mutant that does not count them is noticed", async () => {
    const mutant = await mutate("places.ts", "unidentified.take(call, 1)", "(undefined as never)");
    expect(await besideUnidentified(mutant)).toEqual(["200", "200", "200", "200"]);
  });
});
