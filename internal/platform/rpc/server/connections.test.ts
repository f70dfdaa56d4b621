import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { connect } from "node:net";
import { join } from "node:path";
import { eventually as eventuallyIn } from "../../testing/eventually.ts";
import { createHeldClock, type HeldClock } from "../../testing/held-clock.ts";
import { importMutant } from "../../testing/mutant.ts";
import { envelope } from "../../testing/http2-frames.ts";
import { openHttp2, type Http2Peer } from "../testdata/http2-peer.ts";
import { defaultConnectionLimits } from "./connection-limits.ts";
import * as real from "../testdata/start-probe-server.ts";

setDefaultTimeout(20_000);

/** A mutant is to fail soon. */
const eventually = (check: () => unknown): Promise<unknown> => eventuallyIn(check, { timeoutMs: 3000 });

type Servers = Pick<typeof real, "startProbeServer">;

const known = "Bearer good";
const calm = 11;

/** Passes time, a second at a time as the server looks, so that what is due in between happens. */
async function passSeconds(clock: HeldClock, seconds: number): Promise<void> {
  for (let second = 0; second < seconds; second += 1) await clock.pass(1000);
}

/** Lets a clock go at the end of a test, or the server would wait for it to move when it stops. */
function released(clock: HeldClock): Disposable {
  return { [Symbol.dispose]: () => clock.release() };
}

function openSocket(
  address: string,
): Disposable & { readonly isClosed: () => boolean; readonly write: (text: string) => void } {
  const { hostname, port } = new URL(`http://${address}`);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => undefined); // It is closed then, which is what counts.
  socket.resume();
  return {
    isClosed: () => socket.destroyed,
    write: (text) => void socket.write(text),
    [Symbol.dispose]: () => socket.destroy(),
  };
}

async function saysNothing({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({ clock });
  using _ = released(clock);
  using socket = openSocket(server.addresses.grpc);
  using peer = openHttp2(server.addresses.grpc);
  expect(await peer.call("Look")).toBe("answered");
  await passSeconds(clock, 9);
  expect(await peer.call("Look")).toBe("answered");
  expect(socket.isClosed()).toBe(false);
  await passSeconds(clock, 2);
  await eventually(() => expect(socket.isClosed()).toBe(true));
  expect(await peer.call("Look")).toBe("answered");
}

async function idles({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({ clock });
  using _ = released(clock);
  using stranger = openHttp2(server.addresses.grpc);
  using caller = openHttp2(server.addresses.grpc);
  expect([await stranger.call("Look"), await caller.call("Slow", known)]).toEqual(["answered", "answered"]);
  await passSeconds(clock, 58);
  expect(stranger.goaways).toEqual([]);
  await passSeconds(clock, 4);
  await eventually(() => expect(stranger.isClosed()).toBe(true));
  expect(stranger.goaways[0]).toEqual({ code: 0, takesMore: true });
  expect(caller.goaways).toEqual([]);
  await clock.pass(58 * 60_000);
  expect(await caller.call("Look")).toBe("answered");
  await clock.pass(59 * 60_000);
  expect(caller.goaways).toEqual([]);
  await clock.pass(60_000);
  await passSeconds(clock, 2);
  await eventually(() => expect(caller.isClosed()).toBe(true));
}

async function resetsTooMuch({ startProbeServer }: Servers): Promise<void> {
  await using server = await startProbeServer({ clock: createHeldClock() });
  using stranger = openHttp2(server.addresses.grpc, "127.0.0.2");
  for (let time = 0; time < 100; time += 1) stranger.cancel("Look");
  expect(await stranger.call("Look")).toBe("answered");
  stranger.cancel("Look");
  await eventually(() => expect(stranger.isClosed()).toBe(true));
  expect(stranger.goaways[0]?.code).toBe(calm);
  using caller = openHttp2(server.addresses.grpc);
  expect(await caller.call("Slow", known)).toBe("answered");
  for (let time = 0; time < 300; time += 1) caller.cancel("Look");
  expect(await caller.call("Slow", known)).toBe("answered");
  expect(caller.goaways).toEqual([]);
}

function pings(peer: Http2Peer, times: number): void {
  for (let time = 0; time < times; time += 1) peer.ping();
}

async function pingsTooMuch({ startProbeServer }: Servers): Promise<void> {
  await using server = await startProbeServer({ clock: createHeldClock() });
  using stranger = openHttp2(server.addresses.grpc, "127.0.0.2");
  expect(await stranger.call("Look")).toBe("answered"); // Its hello is one of the hundred.
  pings(stranger, 100);
  await eventually(() => expect(stranger.isClosed()).toBe(true));
  expect(stranger.goaways[0]?.code).toBe(calm);
  using caller = openHttp2(server.addresses.grpc);
  expect(await caller.call("Slow", known)).toBe("answered");
  pings(caller, 300);
  expect(await caller.call("Slow", known)).toBe("answered");
  expect(caller.goaways).toEqual([]);
}

/** A stranger who takes no bytes of replies calls, and another one who reads late. */
async function readsNothing({ startProbeServer }: Servers): Promise<void> {
  const clock = createHeldClock();
  await using server = await startProbeServer({ clock });
  using _ = released(clock);
  using stranger = openHttp2(server.addresses.grpc, "127.0.0.2", { window: 0 });
  using caller = openHttp2(server.addresses.grpc, "127.0.0.2", { window: 0 });
  const later = caller.begin("Slow", known).end();
  const ended = stranger.call("Look");
  await eventually(() => expect(server.ended).toEqual(expect.arrayContaining(["grpc Look ok", "grpc Slow ok"])));
  await passSeconds(clock, 30);
  expect(await Promise.race([ended, Promise.resolve("waits")])).toBe("waits");
  await passSeconds(clock, 3);
  await eventually(async () => expect(await Promise.race([ended, Promise.resolve("waits")])).toBe(`reset ${calm}`));
  await passSeconds(clock, 60);
  expect(await Promise.race([later, Promise.resolve("waits")])).toBe("waits");
}

async function opensTooMany({ startProbeServer }: Servers): Promise<void> {
  await using server = await startProbeServer({
    connectionLimits: { strangersPerNetworkMax: 2, strangerStreamsPerNetworkMax: 2 },
  });
  const open = (): Http2Peer => openHttp2(server.addresses.grpc, "127.0.0.2");
  using caller = open();
  expect(await caller.call("Slow", known)).toBe("answered");
  using first = open();
  expect(await first.call("Look")).toBe("answered");
  using second = open();
  expect(await second.call("Look")).toBe("answered");
  expect(first.goaways).toEqual([]);
  using third = open();
  expect(await third.call("Look")).toBe("answered");
  await eventually(() => expect(first.isClosed()).toBe(true));
  expect(first.goaways[0]?.code).toBe(calm);
  second.begin("Look");
  third.begin("Look");
  await eventually(async () => expect(await second.call("Look")).toBe("refused"));
  const others = Array.from({ length: 10 }, () => caller.call("Slow", known));
  expect(new Set(await Promise.all(others))).toEqual(new Set(["answered"]));
  using elsewhere = openHttp2(server.addresses.grpc, "127.0.0.3");
  expect(await elsewhere.call("Look")).toBe("answered");
}

describe("a connection to the gRPC port", () => {
  test("on which nothing is said ends after 10 s", () => saysNothing(real));
  test("without calls ends after a minute when it is a stranger's, and after an hour when it is a known caller's", () =>
    idles(real));
  test("of a stranger takes a hundred resets at once; a known caller's takes more", () => resetsTooMuch(real));
  test("of a stranger takes a hundred pings at once; a known caller's takes more", () => pingsTooMuch(real));
  test("of a stranger has 30 s for each reply that is written; a known caller's has any time", () =>
    readsNothing(real));
  test("is one of so many of a network's strangers, with so many streams; known callers count as none of them", () =>
    opensTooMany(real));

  test("that became too old is told first, serves what is on its way, and ends when its calls have ended", async () => {
    const clock = createHeldClock();
    await using server = await real.startProbeServer({ clock });
    using caller = openHttp2(server.addresses.grpc);
    using _ = released(clock);
    expect(await caller.call("Slow", known)).toBe("answered");
    const long = caller.begin("Chat", known);
    expect(await caller.call("Slow", known)).toBe("answered");
    await clock.pass(10 * 60 * 60_000);
    expect(caller.goaways).toEqual([]);
    await clock.pass(2 * 60 * 60_000);
    await eventually(() => expect(caller.goaways).toEqual([{ code: 0, takesMore: true }]));
    expect(long.isOpen()).toBe(true);
    await passSeconds(clock, 120);
    expect(long.isOpen()).toBe(true);
    expect(await long.end()).toBe("answered");
    await clock.pass(1000);
    await eventually(() => expect(caller.isClosed()).toBe(true));
  });

  test("of a stranger that became too old ends half a minute later, whatever its calls do", async () => {
    const clock = createHeldClock();
    await using server = await real.startProbeServer({ clock });
    using _ = released(clock);
    using stranger = openHttp2(server.addresses.grpc, "127.0.0.2");
    const watch = stranger.begin("/grpc.health.v1.Health/Watch");
    void watch.end();
    expect(await stranger.call("Look")).toBe("answered");
    await clock.pass(30 * 60_000);
    await passSeconds(clock, 29);
    expect([watch.isOpen(), stranger.goaways.length]).toEqual([true, 2]);
    await passSeconds(clock, 2);
    await eventually(() => expect(stranger.isClosed()).toBe(true));
  });

  test("from a proxy is no stranger's", async () => {
    await using server = await real.startProbeServer({
      trustedHops: 1,
      connectionLimits: { strangersPerNetworkMax: 1 },
    });
    using first = openHttp2(server.addresses.grpc);
    using second = openHttp2(server.addresses.grpc);
    for (const peer of [first, second, first]) expect(await peer.call("Look")).toBe("answered");
    expect(first.goaways).toEqual([]);
  });
});

/** Bun looks every four seconds. */
const httpIdleSMax = 4;

async function idlesOverHttp({ startProbeServer }: Servers): Promise<void> {
  await using server = await startProbeServer({ connectionLimits: { httpIdleSMax } });
  using idle = openSocket(new URL(server.addresses.http).host);
  idle.write("GET /healthz HTTP/1.1\r\nhost: muin\r\n\r\n");
  const stream = await fetch(`${server.addresses.http}/muin.probe.v1.ProbeService/Stream`, {
    method: "POST",
    headers: { authorization: known, "content-type": "application/connect+json" },
    body: new Uint8Array(envelope(Buffer.from(JSON.stringify({ name: "a", repeat: 1, act: "hang" })))),
  });
  const reader = stream.body?.getReader();
  expect((await reader?.read())?.done).toBe(false);
  const next = reader?.read().then(
    () => "ended",
    () => "cut",
  );
  await eventuallyIn(() => expect(idle.isClosed()).toBe(true), { timeoutMs: httpIdleSMax * 5000 });
  using later = openSocket(new URL(server.addresses.http).host);
  later.write("GET /healthz HTTP/1.1\r\nhost: muin\r\n\r\n");
  await eventuallyIn(() => expect(later.isClosed()).toBe(true), { timeoutMs: httpIdleSMax * 5000 });
  expect(await Promise.race([next, Promise.resolve("goes on")])).toBe("goes on");
}

test("a connection to the HTTP port on which nothing moves is closed; a known caller's stream is not", async () => {
  await idlesOverHttp(real);
  expect(defaultConnectionLimits.httpIdleSMax).toBe(120);
}, 60_000);

test("mutant: without knowing whose stream it is, it is cut", async () => {
  const mutant = await importMutant<Servers>(
    join(import.meta.dir, "http-port.ts"),
    "listening.timeout(request, 0)",
    "",
    [join(import.meta.dir, "../testdata/start-probe-server.ts")],
  );
  const failure: unknown = await idlesOverHttp(mutant).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
}, 60_000);

test.each<readonly [what: string, from: string, to: string, check: (servers: Servers) => Promise<void>]>([
  ["an end to silence", "!this.#saidHello && ", "false && ", saysNothing],
  ["a stranger's own time", "this.#isKnown ? limits.knownIdleMsMax : ", "", idles],
  ["a bound of resets", "!this.#isKnown && !this.#resets.take()", "false", resetsTooMuch],
  ["known callers' resets", "!this.#isKnown && !this.#resets.take()", "!this.#resets.take()", resetsTooMuch],
  ["a bound of pings", "!this.#isKnown && !this.#controls.take()", "false", pingsTooMuch],
  ["an end of what nobody reads", "!stream.writableEnded", "true", readsNothing],
  ["known callers' replies", "if (!this.#isKnown) this.#endUnread(now);", "this.#endUnread(now);", readsNothing],
  ["leaving the strangers", "this.stranger?.leave();\n    this.stranger = undefined;", "", opensTooMany],
])("mutant: without %s the test fails", async (_, from, to, check) => {
  const mutant = await importMutant<Servers>(join(import.meta.dir, "grpc-connections.ts"), from, to, [
    join(import.meta.dir, "../testdata/start-probe-server.ts"),
  ]);
  // While `rejects` waits, setImmediate hardly ever comes: time would stand still.
  const failure: unknown = await check(mutant).catch((error: unknown) => error);
  expect(failure).toBeInstanceOf(Error);
});
