import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { eventually as eventuallyIn } from "../../testing/eventually.ts";
import { createHeldClock, type HeldClock } from "../../testing/held-clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import { openHttp2, type Http2Peer } from "../testdata/http2-peer.ts";
import * as real from "../testdata/start-probe-server.ts";
import { defaultConnectionLimits } from "./connection-limits.ts";
import { createStrangerRates } from "./stranger-rates.ts";

setDefaultTimeout(30_000);

/** A mutant is to fail soon. */
const eventually = (check: () => unknown): Promise<unknown> => eventuallyIn(check, { timeoutMs: 3000 });

type Servers = Pick<typeof real, "startProbeServer">;
type Outcomes = Readonly<Record<string, number>>;

const known = "Bearer good";
const calm = 11;
const callPath = "/muin.probe.v1.ProbeService/Look";

/** Lets a clock go at the end of a test, or the server would wait for it to move when it stops. */
function released(clock: HeldClock): Disposable {
  return { [Symbol.dispose]: () => clock.release() };
}

function count(outcomes: readonly (string | number)[]): Outcomes {
  return Object.fromEntries([...Map.groupBy(outcomes, String)].map(([outcome, all]) => [outcome, all.length]));
}

interface Asked {
  readonly peer?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: BodyInit;
}

/** Behind a proxy, a network asks for pages and makes calls. */
async function asksOverHttp({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({
    clock,
    extraRoutes: { "/": () => new Response("home") },
    trustedHops: 1,
  });
  using _ = released(clock);
  const ask = (path: string, { peer = "192.0.2.1", headers, body }: Asked = {}): Promise<Response> =>
    fetch(server.addresses.http + path, {
      headers: { "x-forwarded-for": peer, ...headers },
      ...(body === undefined ? {} : { method: "POST", body }),
    });
  const call = (headers: Asked["headers"], peer?: string): Promise<Response> =>
    ask(callPath, {
      ...(peer === undefined ? {} : { peer }),
      headers: { "content-type": "application/json", ...headers },
      body: JSON.stringify({ name: "a" }),
    });
  const askAll = async (times: number): Promise<Outcomes> => {
    const statuses: number[] = [];
    for (let time = 0; time < times; time += 1) {
      const response = await (time % 3 === 0 ? call({}) : ask(time % 3 === 1 ? "/" : "/nothing"));
      statuses.push(response.status);
      await response.arrayBuffer();
    }
    return count(statuses.map((status) => (status === 429 ? "refused" : "answered")));
  };
  expect(await askAll(250)).toEqual({ answered: 200, refused: 50 });
  const page = await ask("/", { headers: { authorization: known } });
  expect([page.status, page.headers.get("retry-after"), await page.text()]).toEqual([
    429,
    "1",
    expect.stringMatching(/^{"error":{"code":429,"status":"RESOURCE_EXHAUSTED",.*"reason":"PEER_OVERLOADED"/),
  ]);
  const refused = await call({});
  expect([refused.status, refused.headers.get("retry-after"), await refused.text()]).toEqual([
    429,
    "1",
    expect.stringMatching(/^{"code":"resource_exhausted",.*"reason":"PEER_OVERLOADED"/),
  ]);
  const overWeb = await call({ "content-type": "application/grpc-web+proto" });
  expect([overWeb.status, overWeb.headers.get("grpc-status")]).toEqual([200, "8"]);
  const stream = await call({ "content-type": "application/connect+json" });
  expect([stream.status, await stream.text()]).toEqual([
    200,
    expect.stringContaining('{"error":{"code":"resource_exhausted"'),
  ]);
  expect((await call({ authorization: known })).status).toBe(200);
  expect((await call({}, "192.0.2.2")).status).toBe(200);
  expect([(await ask("/healthz")).status, (await ask("/readyz")).status]).toEqual([200, 200]);
  await clock.pass(1001);
  expect(await askAll(150)).toEqual({ answered: 100, refused: 50 });
}

async function callAll(peer: Http2Peer, times: number, authorization?: string): Promise<Outcomes> {
  return count(await Promise.all(Array.from({ length: times }, () => peer.call("Look", authorization))));
}

async function callsOverGrpc({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({ clock });
  using _ = released(clock);
  using caller = openHttp2(server.addresses.grpc, "127.0.0.2");
  expect(await callAll(caller, 300, known)).toEqual({ answered: 300 });
  using stranger = openHttp2(server.addresses.grpc, "127.0.0.2");
  expect(await callAll(stranger, 250)).toEqual({ answered: 200, refused: 50 });
  expect(await callAll(stranger, 50)).toEqual({ refused: 50 });
  expect(stranger.goaways).toEqual([]);
  expect(await stranger.call("Look")).not.toBe("answered");
  await eventually(() => expect(stranger.goaways[0]?.code).toBe(calm));
  expect(await callAll(caller, 2)).toEqual({ refused: 2 });
  expect(await callAll(caller, 300, known)).toEqual({ answered: 300 });
  using next = openHttp2(server.addresses.grpc, "127.0.0.2");
  expect(await callAll(next, 10, known)).toEqual({ answered: 10 });
  using elsewhere = openHttp2(server.addresses.grpc, "127.0.0.3");
  expect(await elsewhere.call("Look")).toBe("answered");
}

/** Behind a proxy, networks call over gRPC. What else a network wrote into the header names nobody. */
async function callsBehindProxy({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({ clock, trustedHops: 1 });
  using _ = released(clock);
  const open = (forwardedFor: string): Http2Peer => openHttp2(server.addresses.grpc, "127.0.0.1", { forwardedFor });
  using one = open("198.51.100.9, 192.0.2.1:4711");
  expect(await callAll(one, 250)).toEqual({ answered: 200, refused: 50 });
  using again = open("203.0.113.5, 192.0.2.1");
  expect(await callAll(again, 10)).toEqual({ refused: 10 });
  using other = open("192.0.2.1, 192.0.2.2");
  expect(await callAll(other, 10)).toEqual({ answered: 10 });
}

async function guessesOverGrpc({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({ clock });
  using _ = released(clock);
  using stranger = openHttp2(server.addresses.grpc, "127.0.0.2");
  expect(await callAll(stranger, 290, "Bearer bad")).toEqual({ refused: 290 });
  expect(stranger.isClosed()).toBe(false);
  await callAll(stranger, 20, "Bearer bad");
  await eventually(() => expect(stranger.goaways[0]?.code).toBe(calm));
}

async function connectsTooFast({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({
    clock,
    connectionLimits: { strangerConnectionsMax: 2, strangerConnectionsPerS: 1 },
  });
  using _ = released(clock);
  const open = (): Http2Peer => openHttp2(server.addresses.grpc, "127.0.0.2");
  using first = open();
  using second = open();
  expect([await first.call("Look"), await second.call("Look")]).toEqual(["answered", "answered"]);
  using third = open();
  expect(await third.call("Look", known)).toBe("closed");
  expect(await first.call("Slow", known)).toBe("answered");
  using fourth = open();
  expect(await fourth.call("Look")).toBe("answered");
  using fifth = open();
  expect(await fifth.call("Look")).toBe("closed");
  await clock.pass(1001);
  using sixth = open();
  expect(await sixth.call("Look")).toBe("answered");
  using elsewhere = openHttp2(server.addresses.grpc, "127.0.0.3");
  expect(await elsewhere.call("Look")).toBe("answered");
}

describe("what a network asks for without credentials", () => {
  test("over HTTP, with the address that a proxy saw", () => asksOverHttp(real));
  test("over gRPC", () => callsOverGrpc(real));
  test("over gRPC, with the address that a proxy saw", () => callsBehindProxy(real));
  test("over gRPC with credentials that are not good", () => guessesOverGrpc(real));

  test("costs a probe a tenth", () => {
    const rates = createStrangerRates(defaultConnectionLimits, { monotonic: () => 0 });
    const passages = Array.from({ length: 2000 }, () => rates.pass("192.0.2.1", "probe"));
    expect(count(passages)).toEqual({ passes: 2000 });
    expect(count(Array.from({ length: 110 }, () => rates.pass("192.0.2.1", "probe")))).toEqual({
      refused: 100,
      flood: 10,
    });
    expect(rates.pass("192.0.2.2")).toBe("passes");
  });
});

test("new connections of a network are bounded, and those of known callers not counted", async () => {
  await connectsTooFast(real);
  const { strangerConnectionsMax, strangerConnectionsPerS } = defaultConnectionLimits;
  expect([strangerConnectionsMax, strangerConnectionsPerS]).toEqual([256, 20]);
});

const rates = "stranger-rates.ts";
const connections = "grpc-connections.ts";
const grpcPort = "grpc-port.ts";
const handler = "fetch-handler.ts";

test.each<readonly [what: string, file: string, from: string, to: string, check: (servers: Servers) => Promise<void>]>([
  ["a bound", handler, 'rates.pass(address()) !== "passes"', "false", asksOverHttp],
  ["a network's own", rates, "networkOf(address)", '""', asksOverHttp],
  ["known callers apart", handler, 'request.headers.get("authorization") === null', "true", asksOverHttp],
  ["a bound of pages", handler, "page !== undefined || ", "", asksOverHttp],
  ["probes apart", handler, "if (probe !== undefined) return probe(request);", "", asksOverHttp],
  ["a bound of calls", grpcPort, 'passage === "passes"', "true", callsOverGrpc],
  ["known calls apart", grpcPort, "headers.authorization !== undefined) return", "false) return", callsOverGrpc],
  [
    "the address that a proxy saw",
    grpcPort,
    "rates.pass(addressOf(request, trustedHops), what)",
    'rates.pass(stream.session?.socket.remoteAddress ?? "", what)',
    callsBehindProxy,
  ],
  [
    "the proxy's own entry",
    "address.ts",
    "entries[Math.max(0, entries.length - hops)]",
    "entries[0]",
    callsBehindProxy,
  ],
  ["an end of a flood", grpcPort, 'passage === "flood" && ', "false && ", callsOverGrpc],
  ["known connections apart", grpcPort, " && connection.isStrangers", "", callsOverGrpc],
  ["a bound of guesses", connections, "showsCredentials && ", "false && ", guessesOverGrpc],
  ["a bound of connections", grpcPort, "if (admits(socket)) accept", "if (true) accept", connectsTooFast],
  ["giving back", connections, "this.#rates.know(this.address)", "void 0", connectsTooFast],
])("mutant: without %s the test fails", async (_, file, from, to, check) => {
  const mutant = await importMutant<Servers>(join(import.meta.dir, file), from, to, [
    join(import.meta.dir, "../testdata/start-probe-server.ts"),
  ]);
  // While `rejects` waits, setImmediate hardly ever comes: time would stand still.
  const failure: unknown = await check(mutant).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
});
