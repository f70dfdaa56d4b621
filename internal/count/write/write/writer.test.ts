import { describe, expect, test } from "bun:test";
import { eventually } from "../../../platform/testing/eventually.ts";
import { createHeldClock, type HeldClock } from "../../../platform/testing/held-clock.ts";
import { startLossyProxy } from "../../../platform/testing/lossy-proxy.ts";
import { caught } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { add, brokenWriter, type CountFixture, type CreateWriter, openCounts } from "../count-fixture.ts";
import type { CountWriterLimits } from "./writer.ts";
import { isApplied } from "./batch.ts";
import { expectPromised } from "../../../platform/testing/promise.ts";

/** Value, revision and sum of the events of a Count, which must agree. */
async function settled(
  counts: CountFixture,
  countId: string,
): Promise<{ value: number; revision: number; sum: number }> {
  const [read] = await counts.states.read([countId]);
  const own = (await counts.outbox()).filter((change) => change.countId === countId);
  expect(own.map(({ revision }) => revision)).toEqual(own.map((_, place) => place + 1));
  return {
    value: read?.record?.value ?? Number.NaN,
    revision: read?.record?.revision ?? Number.NaN,
    sum: Number(own.reduce((sum, { delta }) => sum + delta, 0n)),
  };
}

async function checkLostReplies(redis: TestRedis, countId: string, createWriter?: CreateWriter): Promise<void> {
  using proxy = startLossyProxy(redis.port);
  const url = redis.url.replace(`:${redis.port}`, `:${proxy.port}`);
  await using counts = await openCounts(url, { createWriter });
  await counts.seed(countId);
  for (let number = 1; number <= 5; number += 1) {
    proxy.loseReply(0);
    expect(await counts.write([add(countId, 1)])).toMatchObject([{ outcome: "applied", value: number }]);
  }
  expect(proxy.lost()).toBe(5);
  expect(await settled(counts, countId)).toEqual({ value: 5, revision: 6, sum: 5 });
}

describe("a connection cut between execution and reply", () => {
  test("applies once and reports truly", async () => {
    await using redis = await startRedis();
    await checkLostReplies(redis, "a");
    await caught(async () =>
      checkLostReplies(redis, "b", await brokenWriter("if memory[place + 2] == sequence then", "if false then")),
    );
  });
});

/** A writer whose time the test moves, and Counts on two shards: what happens to one shows by the other how far things are. */
async function openHeld(redis: TestRedis, createWriter: CreateWriter | undefined) {
  const clock = createHeldClock();
  const counts = await openCounts(redis.url, { clock, createWriter, limits: { shards: 2, queueWritesMax: 4 } });
  const idOn = (shard: number): string =>
    ["a", "b", "c", "d", "e", "f"].find((id) => counts.writer.shardOf(id) === shard) as string;
  const [own, other] = [idOn(0), idOn(1)];
  await counts.seed(own, other);
  return { clock, counts, own, other, [Symbol.asyncDispose]: () => counts[Symbol.asyncDispose]() };
}

/** Kills a server that was stopped, with what it had not read of its sockets, and resolves once the writer has noticed. */
async function lose(redis: TestRedis, counts: CountFixture): Promise<void> {
  await redis.kill("SIGKILL");
  await eventually(() => expect(counts.writer.obstacle()).toBeDefined());
}

/** Starts the server again and resolves once the writer has found it and has looked at what it has to send. */
async function bringBack(redis: TestRedis, counts: CountFixture, clock: HeldClock): Promise<void> {
  await redis.restart();
  await eventually(() => expect(counts.writer.obstacle()).toBeUndefined());
  await clock.pass(20);
}

/** A batch is lost on the way, twice, and its caller's deadline passes before it is sent for the second time. */
async function checkResent(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  await using held = await openHeld(redis, createWriter);
  const { clock, counts, own, other } = held;
  await redis.kill("SIGSTOP");
  const late = counts.write([add(own, 1)], 300).catch((error: unknown) => error);
  await clock.pass(299);
  expect(Bun.peek.status(late)).toBe("pending");
  await clock.pass(1);
  expect(Bun.peek(late)).toMatchObject({ code: "unavailable", reason: "OUTCOME_UNKNOWN" });
  await lose(redis, counts);
  await redis.restart();
  await eventually(() => expect(counts.writer.obstacle()).toBeUndefined());
  await redis.kill("SIGSTOP");
  await clock.pass(20); // The second copy lies in the socket.
  await lose(redis, counts);
  await bringBack(redis, counts, clock);
  // Sent after the third copy on the same connection, and so applied after it.
  expect(await counts.write([add(other, 1)])).toMatchObject([{ outcome: "applied", value: 1 }]);
  expect(await settled(counts, own)).toEqual({ value: 1, revision: 2, sum: 1 });
}

/** A batch is applied and its answer lost; its caller's deadline passes before it is sent again. */
async function checkHeardAgain(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  using proxy = startLossyProxy(redis.port);
  const clock = createHeldClock();
  const url = redis.url.replace(`:${redis.port}`, `:${proxy.port}`);
  await using counts = await openCounts(url, { clock, limits: { shards: 1 }, createWriter });
  await counts.seed("a");
  await counts.write([add("a", 1)]); // The server knows the script from now on.
  proxy.loseReply(0);
  const late = counts.write([add("a", 1)], 300).catch((error: unknown) => error);
  await eventually(() => expect(proxy.lost()).toBe(1));
  await clock.pass(300);
  expect(Bun.peek(late)).toMatchObject({ code: "unavailable", reason: "OUTCOME_UNKNOWN" });
  const next = counts.write([add("a", 1)]);
  await eventually(async () => {
    await clock.pass(0);
    expect(Bun.peek.status(next)).toBe("fulfilled");
  });
  expect(await next).toMatchObject([{ outcome: "applied", value: 3 }]);
  expect(await settled(counts, "a")).toEqual({ value: 3, revision: 4, sum: 3 });
}

/** As many batches as may be in flight are applied, and all their answers lost. */
async function checkAllHeardAgain(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  using proxy = startLossyProxy(redis.port);
  const url = redis.url.replace(`:${redis.port}`, `:${proxy.port}`);
  await using counts = await openCounts(url, { createWriter, limits: { shards: 1, batchWritesMax: 1 } });
  await counts.seed("a");
  await counts.write([add("a", 1)]); // The server knows the script from now on.
  proxy.loseReply(0);
  const both = Promise.all([1, 2].map(() => counts.write([add("a", 1)]).catch((error: unknown) => [error])));
  expect((await both).flat()).toMatchObject([
    { outcome: "applied", value: 2 },
    { outcome: "applied", value: 3 },
  ]);
  expect(proxy.lost()).toBe(1);
  expect(await settled(counts, "a")).toEqual({ value: 3, revision: 4, sum: 3 });
}

/** A batch is lost on the way, and the server stays away for longer than the batch is sent again. */
async function checkGivenUp(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  await using held = await openHeld(redis, createWriter);
  const { clock, counts, own, other } = held;
  await redis.kill("SIGSTOP");
  const patient = counts.write([add(own, 1)], 60_000).catch((error: unknown) => error);
  await clock.pass(0); // It is sent.
  await lose(redis, counts);
  await clock.pass(4999);
  const before = Bun.peek.status(patient);
  await clock.pass(1);
  const after = Bun.peek(patient);
  await bringBack(redis, counts, clock);
  expect(before).toBe("pending");
  expect(after).toMatchObject({ code: "unavailable", reason: "OUTCOME_UNKNOWN" });
  // It is not sent any more, and does not stand in the way.
  expect(await counts.write([add(other, 1)])).toMatchObject([{ outcome: "applied", value: 1 }]);
  expect(await settled(counts, own)).toEqual({ value: 0, revision: 1, sum: 0 });
  expect(await counts.write([add(own, 1)])).toMatchObject([{ outcome: "applied", value: 1 }]);
}

describe("a batch without an answer", () => {
  const resend = "if (batch.isCutOff) sendCopy(batch);";

  test("is sent again until it is answered, whatever its caller's deadline, and applied once", async () => {
    await checkResent();
    await caught(async () => checkResent(await brokenWriter(resend, "{}", "batches-in-flight.ts")));
    await caught(async () =>
      checkResent(
        await brokenWriter(resend, "if (batch.isCutOff && batch.copies < 2) sendCopy(batch);", "batches-in-flight.ts"),
      ),
    );
    await caught(async () =>
      checkResent(await brokenWriter("if (isPassing(error)) {", "if (false) {", "batches-in-flight.ts")),
    );
  });

  test("goes on without its caller", async () => {
    const dropped = await brokenWriter(
      "if (nowMs >= endMs) settle(batch);",
      "if (nowMs >= endMs || batch.calls.every((call) => call.isAnswered)) settle(batch);",
      "batches-in-flight.ts",
    );
    await caught(() => checkResent(dropped));
    // Whoever waits for it is told by their deadline all the same.
    await caught(async () =>
      checkResent(await brokenWriter("Math.min(endMs, call.deadlineMs)", "endMs", "batches-in-flight.ts")),
    );
  });

  test("is heard again rather than applied again", async () => {
    await checkHeardAgain();
    const rule = "if memory[place + 2] == sequence then";
    await caught(async () => checkHeardAgain(await brokenWriter(rule, "if false then")));
  });

  test("is remembered beside the other that may be in flight", async () => {
    await checkAllHeardAgain();
    const rule = "slots: limits.batchesInFlightMax,";
    await caught(async () => checkAllHeardAgain(await brokenWriter(rule, "slots: 1,", "batches-in-flight.ts")));
  });

  test("is given up after five seconds, and its outcome is unknown", async () => {
    await checkGivenUp();
    await caught(async () =>
      checkGivenUp(
        await brokenWriter("const resolveMsMax = 5000;", "const resolveMsMax = 1e9;", "batches-in-flight.ts"),
      ),
    );
    await caught(async () =>
      checkGivenUp(
        await brokenWriter("const resolveMsMax = 5000;", "const resolveMsMax = 4990;", "batches-in-flight.ts"),
      ),
    );
  });
});

describe("Redis killed under load", () => {
  test("loses nothing acknowledged and applies nothing twice, three times over", async () => {
    await using redis = await startRedis();
    await using counts = await openCounts(redis.url);
    const ids = Array.from({ length: 8 }, (_, place) => `count.${place}`);
    await counts.seed(...ids);
    const acknowledged = new Map<string, number>();
    const unknown = new Map<string, number>();
    const load = { isOver: false };
    const callers = Array.from({ length: 32 }, async (_, caller) => {
      const countId = ids[caller % ids.length] as string;
      while (!load.isOver) {
        try {
          const outcomes = await counts.write([add(countId, 1)]);
          acknowledged.set(countId, (acknowledged.get(countId) ?? 0) + outcomes.filter(isApplied).length);
        } catch (error) {
          expect(error).toMatchObject({ code: "unavailable", reason: "OUTCOME_UNKNOWN" });
          unknown.set(countId, (unknown.get(countId) ?? 0) + 1);
        }
      }
    });
    const total = () => [...acknowledged.values()].reduce((sum, count) => sum + count, 0);
    for (let kill = 0; kill < 3; kill += 1) {
      const before = total();
      await eventually(() => expect(total()).toBeGreaterThan(before + 200));
      await redis.kill("SIGKILL");
      await redis.restart();
    }
    const before = total();
    await eventually(() => expect(total()).toBeGreaterThan(before + 200));
    load.isOver = true;
    await Promise.all(callers);
    // Every batch was resolved: the store came back well within the time that batches are repeated for.
    expect(unknown).toEqual(new Map());
    for (const countId of ids) {
      const count = acknowledged.get(countId) as number;
      expect(await settled(counts, countId)).toEqual({ value: count, revision: count + 1, sum: count });
    }
  });
});

describe("Redis stopped and resumed", () => {
  test("answers by the deadline that the outcome is unknown, and goes on", async () => {
    await using redis = await startRedis();
    await using counts = await openCounts(redis.url);
    await counts.seed("a");
    await counts.write([add("a", 1)]);
    await redis.kill("SIGSTOP");
    const beginMs = performance.now();
    const late = await counts.write([add("a", 1)], 300).catch((error: unknown) => error);
    expectPromised("a write is answered by its deadline", 300, performance.now() - beginMs);
    await redis.kill("SIGCONT");
    expect(late).toMatchObject({ code: "unavailable", reason: "OUTCOME_UNKNOWN" });
    // The batch went on without its caller: it is applied once, before the next.
    expect(await counts.write([add("a", 1)])).toMatchObject([{ outcome: "applied", value: 3 }]);
    expect(await settled(counts, "a")).toEqual({ value: 3, revision: 4, sum: 3 });
  });
});

/** How many of 40 writes are sent while nothing is answered: what was sent has an unknown outcome, the rest was not applied. */
async function checkInFlight(limits: Partial<CountWriterLimits>): Promise<void> {
  await using redis = await startRedis();
  await using counts = await openCounts(redis.url, { limits: { shards: 1, ...limits } });
  await counts.seed("a");
  await counts.write([add("a", 1)]);
  await redis.kill("SIGSTOP");
  const writes = Array.from({ length: 40 }, () => counts.write([add("a", 1)], 300).catch((error: unknown) => error));
  const reasons = (await Promise.all(writes)).map((error) => (error as { readonly reason: string }).reason);
  await redis.kill("SIGCONT");
  expect(reasons.filter((reason) => reason === "OUTCOME_UNKNOWN")).toHaveLength(8);
  expect(reasons.filter((reason) => reason === "STORE_UNAVAILABLE")).toHaveLength(32);
  // What was said not to have been applied was not, and what was unknown went on.
  expect(await counts.write([add("a", 1)])).toMatchObject([{ outcome: "applied", value: 10 }]);
}

describe("batches in flight", () => {
  test("are at most two per shard, each as large as may be", async () => {
    await checkInFlight({ batchWritesMax: 4, batchesInFlightMax: 2 });
    await caught(() => checkInFlight({ batchWritesMax: 4, batchesInFlightMax: 3 }));
    await caught(() => checkInFlight({ batchWritesMax: 5, batchesInFlightMax: 2 }));
  });
});

/** Nothing is timed: time stands still while many write, one after the other and together. */
async function checkUntimed(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  const clock = createHeldClock();
  await using counts = await openCounts(redis.url, { clock, createWriter, limits: { shards: 1 } });
  await counts.seed("a");
  for (const together of [1, 1, 2, 1000]) {
    const writes = Promise.all(Array.from({ length: together }, () => counts.write([add("a", 1)])));
    writes.catch(() => undefined); // A writer that waits for a timer lets go of them when it is stopped.
    // As many calls after it on the same connection as there may be batches of these, one after the other.
    for (let trip = 0; trip < 10; trip += 1) await counts.store.client.ping();
    expect(Bun.peek.status(writes)).toBe("fulfilled");
  }
  expect(await settled(counts, "a")).toEqual({ value: 1004, revision: 1005, sum: 1004 });
}

describe("a batch", () => {
  test("waits for no timer", async () => {
    await checkUntimed();
    await caught(async () =>
      checkUntimed(await brokenWriter("setImmediate(() => {", "void clock.sleep(1).then(() => {", "writer.ts")),
    );
  });
});

/** How many writes come to be refused, and not one of them applied, while the store has no memory left. */
async function checkStoreFull(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  await using counts = await openCounts(redis.url, { createWriter });
  await counts.seed("a");
  await counts.write([add("a", 1)]);
  await counts.store.client.config("SET", "maxmemory", "1");
  const refused = await counts.write([add("a", 1, "request-1")]).catch((error: unknown) => error);
  await counts.store.client.config("SET", "maxmemory", "0");
  expect(refused).toMatchObject({ code: "resource_exhausted", reason: "STORE_FULL" });
  expect(await counts.write([add("a", 1, "request-1")])).toMatchObject([{ outcome: "applied", value: 2 }]);
  expect(await settled(counts, "a")).toEqual({ value: 2, revision: 3, sum: 2 });
}

describe("a store without memory left", () => {
  test("refuses writes, and applies them once it has some", async () => {
    await checkStoreFull();
    await caught(async () =>
      checkStoreFull(
        await brokenWriter(
          "error instanceof MuinError ? error : storeErrors.unavailable({ cause: error })",
          "storeErrors.unavailable({ cause: error })",
          "batches-in-flight.ts",
        ),
      ),
    );
  });
});

/** A write that could not be sent by its deadline. */
async function checkAway(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  await using held = await openHeld(redis, createWriter);
  const { clock, counts, own, other } = held;
  const tooMany = Array.from({ length: 5 }, () => add(own, 1));
  expect(counts.write(tooMany)).rejects.toMatchObject({ reason: "OVERLOADED" }); // What follows is looked after all the same.
  await lose(redis, counts);
  const waiting = [counts.write([add(own, 1)], 300), counts.write([add(other, 1)], 60_000)].map((write) =>
    write.catch((error: unknown) => error),
  );
  const states = (): unknown[] => waiting.map((write) => Bun.peek.status(write));
  const seen = [];
  for (const ms of [299, 1, 4699, 1]) {
    await clock.pass(ms);
    seen.push(states());
  }
  await bringBack(redis, counts, clock);
  // The first by its deadline, the other after as long as a write waits at most.
  expect(seen).toEqual([
    ["pending", "pending"],
    ["fulfilled", "pending"],
    ["fulfilled", "pending"],
    ["fulfilled", "fulfilled"],
  ]);
  for (const refused of waiting)
    expect(await refused).toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
  // Nothing of it was applied.
  for (const countId of [own, other]) {
    expect(await counts.write([add(countId, 1)])).toMatchObject([{ outcome: "applied", value: 1, revision: 2 }]);
  }
}

describe("Redis away", () => {
  test("refuses what waited for too long, by its deadline and within five seconds, and never sends it", async () => {
    await checkAway();
    await caught(async () =>
      checkAway(await brokenWriter("if (nowMs < call.queueEndMs) {", "if (true) {", "queue.ts")),
    );
    await caught(async () =>
      checkAway(await brokenWriter("Math.min(deadlineMs, clock.monotonic() + queueMsMax)", "deadlineMs", "queue.ts")),
    );
    await caught(async () =>
      checkAway(
        await brokenWriter(
          "leave(call);\n          refuseCall(",
          "kept.push(call);\n          refuseCall(",
          "queue.ts",
        ),
      ),
    );
  });

  test("answers within the deadline that nothing was applied, and recovers by itself", async () => {
    await using redis = await startRedis();
    await using counts = await openCounts(redis.url);
    await counts.seed("a");
    await counts.write([add("a", 1)]);
    await redis.kill("SIGKILL");
    await eventually(() => expect(counts.writer.obstacle()).toBeDefined());
    const beginMs = performance.now();
    const refused = await counts.write([add("a", 1)], 300).catch((error: unknown) => error);
    expectPromised("a write is answered by its deadline", 300, performance.now() - beginMs);
    expect(refused).toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
    const waiting = counts.write([add("a", 1)]);
    await redis.restart();
    expect(await waiting).toMatchObject([{ outcome: "applied", value: 2 }]);
    await eventually(() => expect(counts.writer.obstacle()).toBeUndefined());
    expect(await settled(counts, "a")).toEqual({ value: 2, revision: 3, sum: 2 });
  });

  test("starts, refuses, and is ready once it is there", async () => {
    await using redis = await startRedis();
    await redis.kill("SIGKILL");
    await using counts = await openCounts(redis.url);
    expect(counts.writer.obstacle()).toBe("the counts store is not reachable");
    expect(counts.write([add("a", 1)], 100)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await redis.restart();
    await eventually(() => expect(counts.writer.obstacle()).toBeUndefined());
    expect(await counts.write([add("a", 1)])).toEqual([{ outcome: "not_found" }]);
  });
});

/** A store that was made with another number of shards, there at the start and coming back after it. */
async function checkOtherShards(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  const begin = async (shards: number): Promise<string> => {
    try {
      await using counts = await openCounts(redis.url, { createWriter, limits: { shards } });
      return counts.writer.obstacle() ?? "works";
    } catch (error) {
      return String(error);
    }
  };
  expect(await begin(4)).toBe("works");
  expect(await begin(8)).toBe("Error: the counts store has 4 shards, recorded for ever; the setting says 8");
  await redis.kill("SIGKILL");
  const clock = createHeldClock();
  await using counts = await openCounts(redis.url, { clock, createWriter, limits: { shards: 8 } });
  await redis.restart();
  const early = counts.write([add("a", 1)], 60_000).catch((error: unknown) => error);
  await eventually(() => expect(counts.store.client.status).toBe("ready"));
  await clock.pass(0); // The store is asked again, and answers.
  for (let trip = 0; trip < 10; trip += 1) await counts.store.client.ping();
  expect(counts.writer.obstacle()).toContain("has 4 shards");
  const late = counts.write([add("a", 1)], 60_000).catch((error: unknown) => error);
  await clock.pass(0);
  expect(Bun.peek(late)).toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
  await clock.pass(5000);
  expect(Bun.peek(early)).toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
}

describe("a store with another number of shards", () => {
  test("is refused at the start, or as soon as it answers", async () => {
    await checkOtherShards();
    const file = "layout-search.ts";
    await caught(async () => checkOtherShards(await brokenWriter("if (!isAway(error)) throw error;", "", file)));
    await caught(async () =>
      checkOtherShards(
        await brokenWriter("refusal = error instanceof Error ? error.message : String(error);", "", file),
      ),
    );
  });
});

describe("a writer that is told no number of shards", () => {
  test("takes the store's, and refuses writes until it knows it", async () => {
    await using redis = await startRedis();
    {
      await using counts = await openCounts(redis.url, { limits: { shards: 4 } });
      await counts.seed("a", "b", "c", "d", "e");
      await counts.write([add("a", 1)]);
    }
    await redis.kill("SIGKILL");
    const clock = createHeldClock();
    await using counts = await openCounts(redis.url, { clock, limits: { shards: 0 } });
    const write = async (countId: string) => counts.write([add(countId, 1)], 60_000);
    expect(write("a")).rejects.toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
    await redis.restart();
    await eventually(async () => {
      await clock.pass(250);
      expect(counts.writer.obstacle()).toBeUndefined();
    });
    expect(await write("a")).toMatchObject([{ outcome: "applied", value: 2 }]);
    for (const countId of ["b", "c", "d", "e"]) {
      expect(await write(countId)).toMatchObject([{ outcome: "applied", value: 1 }]);
    }
  });
});

/** The store forgets a writer whose batch it has applied, and whose answer was lost. */
async function checkForgotten(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  using proxy = startLossyProxy(redis.port);
  const clock = createHeldClock();
  const url = redis.url.replace(`:${redis.port}`, `:${proxy.port}`);
  await using counts = await openCounts(url, { clock, createWriter, limits: { shards: 1 } });
  await using direct = await openCounts(redis.url, { limits: { shards: 1 } });
  await counts.seed("a");
  await counts.write([add("a", 1)]); // The server knows the script from now on.
  proxy.loseReply(0);
  const cut = counts.write([add("a", 1)]).catch((error: unknown) => error);
  await eventually(() => expect(proxy.lost()).toBe(1));
  const [memory] = await direct.store.client.keys("count:{0}:writer:*");
  await direct.store.client.unlink(memory as string);
  await eventually(async () => {
    await clock.pass(0);
    expect(Bun.peek.status(cut)).toBe("fulfilled");
  });
  expect(await cut).toMatchObject({ code: "unavailable", reason: "OUTCOME_UNKNOWN" });
  expect(await settled(direct, "a")).toEqual({ value: 2, revision: 3, sum: 2 });
  expect(await counts.write([add("a", 1)])).toMatchObject([{ outcome: "applied", value: 3 }]);
}

describe("a store that forgot the writer", () => {
  test("is not sent again what it may have applied", async () => {
    await checkForgotten();
    await caught(async () =>
      checkForgotten(
        await brokenWriter("if (batch.copies === 1) options", "if (true) options", "batches-in-flight.ts"),
      ),
    );
  });

  test("is written to under a new name, once", async () => {
    await using redis = await startRedis();
    await using counts = await openCounts(redis.url, { limits: { shards: 1 } });
    await counts.seed("a");
    await counts.write([add("a", 1)]);
    const [memory] = await counts.store.client.keys("count:{0}:writer:*");
    await counts.store.client.unlink(memory as string);
    expect(await counts.write([add("a", 1)])).toMatchObject([{ outcome: "applied", value: 2 }]);
    expect(await settled(counts, "a")).toEqual({ value: 2, revision: 3, sum: 2 });
  });
});

async function checkQueueBound(bound: Partial<CountWriterLimits>): Promise<void> {
  await using redis = await startRedis();
  await using counts = await openCounts(redis.url, { limits: { shards: 1, ...bound } });
  await counts.seed("a");
  await counts.write([add("a", 1)]);
  const sent = await Promise.allSettled(Array.from({ length: 200 }, () => counts.write([add("a", 1)])));
  const refused = sent.filter(({ status }) => status === "rejected") as PromiseRejectedResult[];
  expect(refused).toHaveLength(100);
  for (const { reason } of refused) {
    expect(reason).toMatchObject({ code: "resource_exhausted", reason: "OVERLOADED", retryAfterMs: 250 });
  }
  expect(await settled(counts, "a")).toEqual({ value: 101, revision: 102, sum: 101 });
}

describe("a full queue", () => {
  test("refuses what is beyond its bounds, in writes and in bytes", async () => {
    await checkQueueBound({ queueWritesMax: 100 });
    // The id "a" and what each write is counted for beside its texts.
    await checkQueueBound({ queueBytesMax: 100 * 65 });
    await caught(() => checkQueueBound({ queueWritesMax: 1000 }));
    await caught(() => checkQueueBound({ queueBytesMax: 1000 * 65 }));
  });
});

async function checkDelete(createWriter?: CreateWriter): Promise<void> {
  await using redis = await startRedis();
  await using counts = await openCounts(redis.url, { createWriter });
  await counts.seed("a");
  let isDeleted = false;
  let applied = 0;
  let late = 0;
  const writers = Array.from({ length: 16 }, async () => {
    for (let refused = 0; refused < 5;) {
      const beganAfter = isDeleted;
      const [outcome] = await counts.write([add("a", 1)]);
      if (outcome?.outcome !== "applied") {
        expect(outcome).toEqual({ outcome: "deleted" });
        refused += 1;
      } else {
        applied += 1;
        if (beganAfter) late += 1;
        if (late > 100) break; // Nobody refuses any more.
      }
    }
  });
  await eventually(() => expect(applied).toBeGreaterThan(200));
  await counts.states.remove({ countId: "a", infoRevision: 2 });
  isDeleted = true;
  await Promise.all(writers);
  expect(late).toBe(0);
  expect(await settled(counts, "a")).toEqual({ value: applied, revision: applied + 1, sum: applied });
}

describe("a delete racing increments", () => {
  test("lets none through once it has answered", async () => {
    await checkDelete();
    await caught(async () => checkDelete(await brokenWriter("if state ~= 1 then", "if false then")));
  });
});

describe("stopping", () => {
  test("finishes what was taken and takes no more", async () => {
    await using redis = await startRedis();
    await using counts = await openCounts(redis.url);
    await counts.seed("a");
    const taken = Array.from({ length: 50 }, () => counts.write([add("a", 1)]));
    const stopped = counts.writer.stop();
    expect(counts.write([add("a", 1)])).rejects.toMatchObject({ code: "unavailable", reason: "SHUTTING_DOWN" });
    expect((await Promise.all(taken)).flat().filter(isApplied)).toHaveLength(50);
    await stopped;
  });
});

/** Whether each reply to a write came after an fdatasync that came after the write was read, as strace saw it. */
async function checkFsync(appendfsync: "always" | "everysec"): Promise<void> {
  await using redis = await startRedis({ appendfsync });
  await using counts = await openCounts(redis.url, { limits: { shards: 1 } });
  await counts.seed("a");
  await counts.write([add("a", 1)]);
  const trace = `${redis.dir}/strace.txt`;
  await using strace = Bun.spawn(
    ["strace", "-f", "-p", redis.pid.toString(), "-e", "trace=read,write,writev,fdatasync", "-s", "64", "-o", trace],
    { stdout: "ignore", stderr: "pipe" },
  );
  // It says so once it is attached.
  await strace.stderr.getReader().read();
  for (let number = 0; number < 20; number += 1) await counts.write([add("a", 1)]);
  await counts.store.client.ping();
  const lines = await eventually(async () => {
    const text = await Bun.file(trace).text();
    expect(text).toContain("+PONG");
    return text.split("\n");
  });
  strace.kill("SIGINT");
  await strace.exited;
  let isSynced = true;
  let replies = 0;
  for (const line of lines) {
    if (/ read\(.*evalsha/i.test(line)) isSynced = false;
    if (/ fdatasync\(\d+\)\s+= 0/.test(line) || /fdatasync resumed.*= 0/.test(line)) isSynced = true;
    // The reply to a batch is a bulk string; the append-only file begins with "*" or "#".
    if (/ write(v)?\(\d+, .*"\$\d+\\r\\n/.test(line)) {
      replies += 1;
      expect(isSynced).toBe(true);
    }
  }
  expect(replies).toBeGreaterThanOrEqual(20);
}

const strace = Bun.which("strace");
if (strace === null && process.env["CI"] === undefined) console.log("skipped: strace is not installed");

describe("durability", () => {
  test.skipIf(strace === null && process.env["CI"] === undefined)(
    "each write is on disk before its reply, and not with appendfsync everysec (skipped without strace)",
    async () => {
      await checkFsync("always");
      await caught(() => checkFsync("everysec"));
    },
  );
});
