import { afterEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { chmod, readFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { type Clock, systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { silentLog } from "../testing/local-stores.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { createServerFolder } from "../testing/server-folder.ts";
import { createDataFolder } from "./data-folder.ts";
import { provideRedis, type RedisBinary } from "./redis-binary.ts";
import { createRedisServer, type RedisServer } from "./redis-server.ts";

const cleanup: (() => Promise<void>)[] = [];
afterEach(async () => {
  for (const step of cleanup.splice(0).toReversed()) await step();
});

/** A data folder, and servers in it. */
async function open(create = createRedisServer) {
  const place = await createServerFolder("redis-server");
  cleanup.push(() => place.remove());
  const folder = createDataFolder({ path: join(place.path, "data"), random: systemRandom });
  await folder.start();
  cleanup.push(() => folder.stop());
  const real = await provideRedis({ env: process.env, report: (line) => console.error(line), clock: systemClock });
  const serve = (options: { binary?: RedisBinary; clock?: Clock; memoryBytesMax?: number } = {}): RedisServer => {
    const { binary = real, clock = systemClock, memoryBytesMax } = options;
    const users = [{ name: "all", rules: ["on", "~*", "+@all"] }];
    const deps = { folder, binary: () => binary, clock, random: systemRandom, log: silentLog };
    const server = create({ name: "counts", durable: true, memoryBytesMax, users }, deps, undefined);
    cleanup.push(() => server.stop());
    return server;
  };
  return { place: place.path, home: join(folder.path, "redis/counts"), real, serve };
}

async function ask<T>(server: RedisServer, question: (client: Redis) => Promise<T>): Promise<T> {
  const client = new Redis(server.url("all"), { retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on("error", () => undefined); // The rejected call carries it.
  try {
    return await question(client);
  } finally {
    client.disconnect();
  }
}

/** A server with 30 000 keys is started again by a program that takes seconds to load them, while ten minutes pass for us. */
async function loadForLong(create: typeof createRedisServer): Promise<void> {
  const { place, home, real, serve } = await open(create);
  const first = serve();
  await first.start();
  await ask(first, async (client) => {
    const pipeline = client.pipeline();
    for (let key = 0; key < 30_000; key += 1) pipeline.set(`key ${key}`, key);
    await pipeline.exec();
  });
  await first.stop();
  const slow = join(place, "redis-server");
  const starts = (): number => readFileSync(join(home, "server.log"), "utf8").split("Server initialized").length - 1;
  await Bun.write(slow, `#!/bin/sh\nexec '${real.server}' "$1" --key-load-delay 100\n`);
  await chmod(slow, 0o755);
  let aheadMs = 0;
  let killed = 0;
  const clock: Clock = {
    now: () => systemClock.now(),
    monotonic: () => systemClock.monotonic() + aheadMs,
    sleep: (ms, signal) => {
      if (ms === 25 && starts() > 1) aheadMs += 100_000; // Between two questions whether it answers, once it listens.
      if (ms >= 100 && ms <= 5000 && signal !== undefined) killed += 1; // Before it is started again.
      return systemClock.sleep(ms, signal);
    },
  };
  const second = serve({ binary: { ...real, server: slow }, clock });
  expect(await second.start().then(() => "answered", String)).toBe("answered");
  expect({ isLong: aheadMs > 600_000, killed }).toEqual({ isLong: true, killed: 0 });
  expect(await ask(second, (client) => client.dbsize())).toBe(30_000);
}

describe("a Redis server that loads its data for longer than two minutes", () => {
  test("is waited for", () => loadForLong(createRedisServer));

  test("mutant: is killed", async () => {
    const mutant = await importMutant<{ createRedisServer: typeof createRedisServer }>(
      join(import.meta.dir, "redis-server.ts"),
      'isProgress: (error) => replyCode(error) === "LOADING",',
      "",
    );
    await caught(() => loadForLong(mutant.createRedisServer));
  }, 60_000);
});

/** Data of a server go through a newer one, and then to an older one. */
async function refusesOlder(create: typeof createRedisServer): Promise<void> {
  const { home, real, serve } = await open(create);
  const [major = 0, minor = 0] = real.version.split(".").map(Number);
  const newer = { server: real.server, version: `${major}.${minor + 1}.0` };
  for (const binary of [real, newer, newer]) {
    const server = serve({ binary });
    const outcome = await server.start().then(() => server.version(), String);
    expect(outcome).toBe(binary.version);
    await server.stop();
  }
  expect(await serve().start().catch(String)).toBe(
    `SetupError: ${home} was written by Redis ${newer.version}, but ${real.server} is Redis ${real.version}. ` +
      `Set REDIS_SERVER to the path of a redis-server of ${newer.version} or later.`,
  );
}

describe("data of a newer server", () => {
  test("are refused to an older one by name, and those of an older one are taken", () =>
    refusesOlder(createRedisServer));

  test.each([
    ["says nothing of who wrote them", "await replaceFile(path, `${version}\\n`, { mode: 0o600 });", ""],
    ["lets any server at them", "!isAtLeast(version, written)", "false"],
    ["takes no newer server", "!isAtLeast(version, written)", "true"],
  ])("mutant: one that %s", async (_, from, to) => {
    const file = join(import.meta.dir, "redis-server.ts");
    const mutant = await importMutant<{ createRedisServer: typeof createRedisServer }>(file, from, to);
    await caught(() => refusesOlder(mutant.createRedisServer));
  });
});

describe("the memory of a server that keeps data", () => {
  test("has a bound, at which writes are refused and nothing is dropped", async () => {
    const { serve } = await open();
    const server = serve({ memoryBytesMax: 4 << 20 });
    await server.start();
    await ask(server, async (client) => {
      expect(await client.config("GET", "maxmemory*")).toEqual(expect.arrayContaining(["4194304", "noeviction"]));
      let written = 0;
      const write = () => client.set(`key ${written}`, "x".repeat(100_000));
      const refusal = await (async () => {
        for (; written < 100; written += 1) await write();
        return undefined;
      })().catch(String);
      expect(refusal).toContain("OOM");
      expect(written).toBeGreaterThan(5);
      expect(await client.dbsize()).toBe(written);
    });
  });

  test("is half of the machine's where nobody says otherwise", async () => {
    const { serve, home } = await open();
    await serve().start();
    const [, bytes = ""] = /^maxmemory (\d+)$/m.exec(await readFile(join(home, "redis.conf"), "utf8")) ?? [];
    expect(Number(bytes)).toBeGreaterThan(64 << 20);
    expect(Number(bytes)).toBeLessThan(2 ** 44);
  });
});
