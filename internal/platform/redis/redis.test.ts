import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../clock/clock.ts";
import { MuinError } from "../errors/muin-error.ts";
import { eventually } from "../testing/eventually.ts";
import { startLossyProxy } from "../testing/lossy-proxy.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { startRedis } from "../testing/redis.ts";
import { cutOff, openRedis, openRedisReader } from "./open-redis.ts";
import { defineScript } from "./script.ts";

const increment = defineScript<number>({
  name: "increment",
  keys: 1,
  lua: "return redis.call('INCRBY', KEYS[1], ARGV[1])",
});
const echo = defineScript<Buffer>({ name: "echo", keys: 0, lua: "return ARGV[1]" });

async function reasonOf(work: Promise<unknown>): Promise<string> {
  const error: unknown = await work.then(
    () => undefined,
    (error: unknown) => error,
  );
  return error instanceof MuinError ? `${error.code} ${error.reason}` : `not a MuinError: ${String(error)}`;
}

describe("redis", () => {
  test("scripts run before and after the server forgot them, bytes in and out", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const store = openRedis({ url: server.url, name: "test" });
    await store.start();
    const bytes = new Uint8Array([0, 255, 13, 10, 128]);
    expect(new Uint8Array(await echo.run(store.client, [], [bytes]))).toEqual(bytes);
    await store.client.script("FLUSH");
    expect(await Promise.all([1, 2, 3].map((by) => increment.run(store.client, ["n"], [by])))).toEqual([1, 3, 6]);
    // The driver's automatic pipeline would lose the command's name.
    expect(await store.client.callBuffer("GET", "n")).toEqual(Buffer.from("6"));
    await store.stop();
  });

  test("a connection that is cut off, and once more when it has ended, keeps no process from ending", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const child = Bun.spawn(
      [
        process.execPath,
        "-e",
        `import { connect, cutOff } from ${JSON.stringify(join(import.meta.dir, "open-redis.ts"))};
        const client = connect({ url: ${JSON.stringify(server.url)}, name: "test" }, {});
        await client.connect();
        client.once("end", () => { cutOff(client); console.log("cut"); });
        cutOff(client);`,
      ],
      { stdout: "pipe", stderr: "inherit" },
    );
    let cutAt = Number.NaN;
    for await (const _ of child.stdout) cutAt = performance.now();
    expect(await child.exited).toBe(0);
    expect(performance.now() - cutAt).toBeLessThan(1500); // The driver's own patience would be two seconds.
  });

  test("while the server is away commands fail at once with STORE_UNAVAILABLE and no driver's words; it recovers by itself", async () => {
    await using server = await startRedis({ appendfsync: "always" });
    const store = openRedis({ url: server.url, name: "test" });
    const reader = openRedisReader({ url: server.url, name: "test-reader" });
    await store.start();
    await reader.start();
    await store.client.set("a", "1");
    await server.kill("SIGKILL");
    const reasons = await Promise.all([
      reasonOf(store.client.get("a")),
      reasonOf(increment.run(store.client, ["n"], [1])),
      reasonOf(reader.client.get("a")),
    ]);
    expect(reasons).toEqual([
      "unavailable STORE_UNAVAILABLE",
      "unavailable STORE_UNAVAILABLE",
      "unavailable STORE_UNAVAILABLE",
    ]);
    expect(await store.probe()).toBe("is not reachable");
    await server.restart();
    await eventually(async () => expect(await store.client.get("a")).toBe("1"));
    await eventually(async () => expect(await reader.client.get("a")).toBe("1"));
    expect(await store.probe()).toBeUndefined();
    await store.stop();
    await reader.stop();
  });

  test("start does not fail while the server is away", async () => {
    const store = openRedis({ url: "redis://127.0.0.1:1", name: "test" });
    await store.start();
    expect(await reasonOf(store.client.get("a"))).toBe("unavailable STORE_UNAVAILABLE");
    await store.stop();
    await store.stop();
  });

  test("a write whose connection is cut between execution and reply is not sent again", async () => {
    await checkSentOnce(openRedis);
    const driversDefaults = await importMutant<{ openRedis: typeof openRedis }>(
      join(import.meta.dir, "open-redis.ts"),
      "autoResendUnfulfilledCommands: false,\n    enableOfflineQueue: false,\n    maxRetriesPerRequest: 0,",
      "",
    );
    await caught(() => checkSentOnce(driversDefaults.openRedis));
  });

  test("an answer that came while this process could not run is read, and nothing is cut off", async () => {
    await readsAfterABlock(openRedis);
    const driversWatch = await importMutant<{ openRedis: typeof openRedis }>(
      join(import.meta.dir, "open-redis.ts"),
      "...options, protocol: 2",
      "...options, socketTimeout: 4000, protocol: 2",
    );
    await caught(() => readsAfterABlock(driversWatch.openRedis));
  });

  test("silence is counted by time in which this process could run", async () => {
    await countsTimeAwake(openRedis);
    for (const [file, from] of [
      ["silence-watch.ts", "await awake(clock).sleep"],
      ["open-redis.ts", "timeout(awake(clock), probe"],
    ] as const) {
      const mutant = await importMutant<{ openRedis: typeof openRedis }>(
        join(import.meta.dir, file),
        from,
        from.replace("awake(clock)", "clock"),
        [join(import.meta.dir, "open-redis.ts")],
      );
      await caught(() => countsTimeAwake(mutant.openRedis));
    }
  });

  test("a frozen server is cut off instead of holding commands for ever", async () => {
    await using server = await startRedis({ appendfsync: "no" });
    const store = openRedis({ url: server.url, name: "test" });
    await store.start();
    await server.kill("SIGSTOP");
    const answer = reasonOf(store.client.get("a"));
    expect(await store.probe()).toBe("does not answer");
    expect(await answer).toBe("unavailable STORE_UNAVAILABLE");
    await server.kill("SIGCONT");
    await eventually(async () => expect(await store.client.get("a")).toBeNull());
    await store.stop();
  });
});

/** Keeps this process from running for longer than a connection may be silent, in the turn in which it sends. */
async function readsAfterABlock(open: typeof openRedis): Promise<void> {
  await using server = await startRedis({ appendfsync: "no" });
  const store = open({ url: server.url, name: "test" });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => store.stop());
  await store.start();
  const { promise: reasons, resolve } = Promise.withResolvers<readonly string[]>();
  using hostile = Bun.listen({
    hostname: "127.0.0.1",
    port: 0,
    socket: {
      data: () => {
        const answers = [reasonOf(store.client.ping()), reasonOf(increment.run(store.client, ["n"], [1]))];
        const untilMs = performance.now() + 4300;
        while (performance.now() < untilMs);
        resolve(Promise.all(answers));
      },
    },
  });
  using peer = await Bun.connect({ hostname: "127.0.0.1", port: hostile.port, socket: { data: () => undefined } });
  peer.write("x");
  expect(await reasons).toEqual(["not a MuinError: undefined", "not a MuinError: undefined"]);
}

/** By all time, the clock has passed every bound at once. */
async function countsTimeAwake(open: typeof openRedis): Promise<void> {
  await using server = await startRedis({ appendfsync: "no" });
  const clock = {
    ...systemClock,
    sleep: () => Promise.resolve(),
    sleepAwake: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms, signal),
  };
  const store = open({ url: server.url, name: "test", clock });
  await using stack = new AsyncDisposableStack();
  stack.defer(() => store.stop());
  await store.start();
  const dedicated = store.dedicated();
  stack.defer(() => cutOff(dedicated));
  await eventually(() => expect(dedicated.status).toBe("ready"));
  expect(await reasonOf(dedicated.blpop("nothing", 0.3))).toBe("not a MuinError: undefined");
  expect(await store.probe()).toBeUndefined();
}

async function checkSentOnce(open: typeof openRedis): Promise<void> {
  await using server = await startRedis({ appendfsync: "no" });
  using proxy = startLossyProxy(server.port);
  const url = new URL(server.url);
  url.port = String(proxy.port);
  const store = open({ url: url.href, name: "test" });
  const direct = openRedis({ url: server.url, name: "direct" });
  await using stack = new AsyncDisposableStack();
  for (const each of [store, direct]) {
    stack.defer(() => each.stop());
    await each.start();
  }
  proxy.loseReply(0);
  const reason = await reasonOf(store.client.incrby("cut", 1));
  expect(proxy.lost()).toBe(1);
  await eventually(async () => expect(await store.client.get("cut")).not.toBeNull()); // Connected again.
  expect(await direct.client.get("cut")).toBe("1");
  expect(reason).toBe("unavailable STORE_UNAVAILABLE");
}
