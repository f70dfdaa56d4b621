import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import * as fc from "fast-check";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import type { createCountStates } from "../../shared/count-states.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { runBatch } from "./store-redis.ts";
import {
  add,
  brokenWriter,
  type CountFixture,
  type CountFixtureOptions,
  createActive,
  type CreateWriter,
  openCounts,
  set,
} from "../count-fixture.ts";
import {
  type AppliedWrite,
  batchKeys,
  type BatchReply,
  type CountWrite,
  decodeReply,
  encodeBatch,
  encodeWrites,
  isApplied,
} from "./batch.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

/** A writer on an empty store. */
async function fresh(options: CountFixtureOptions = {}): Promise<CountFixture> {
  const store = openRedis({ url: redis.url, name: "flush" });
  await store.start();
  await store.client.flushall();
  await store.stop();
  return openCounts(redis.url, options);
}

/** What the write path must do, said as plainly as can be. */
interface Model {
  value: bigint;
  revision: number;
  readonly min: bigint;
  readonly max: bigint;
  isDeleted: boolean;
}

/** 2^53 - 1. */
const valueMax = 9_007_199_254_740_991;
const max = BigInt(valueMax);
const operands = fc.oneof(
  fc.integer({ min: 1, max: 9 }),
  fc.constantFrom(valueMax, valueMax - 1, 2 ** 52),
  fc.maxSafeInteger().map((value) => Math.max(1, Math.abs(value))),
);
const writes = fc.record({
  count: fc.constantFrom("a", "b", "c", "bounded", "deleted", "missing"),
  kind: fc.constantFrom("add", "subtract", "set" as const),
  operand: operands,
  isNegative: fc.boolean(),
  request: fc.option(fc.constantFrom("request-1", "request-2", "request-3", "request-4"), { freq: 2 }),
  principal: fc.constantFrom("api_key:one", "api_key:two"),
});
/** Nothing means: the batch before once more, as a caller repeats it who did not hear the answer. */
const rounds = fc
  .array(fc.option(fc.array(writes, { minLength: 1, maxLength: 12 }), { freq: 3 }), { minLength: 1, maxLength: 6 })
  .map((list) => list.map((_, place) => list.slice(0, place + 1).findLast((batch) => batch !== null) ?? []));

/** Random batches against the model: replies, values, revisions, and the sum of the outbox. */
async function holdToModel(createWriter: CreateWriter | undefined, runs: number): Promise<void> {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  console.log(`seed ${seed}`);
  await using counts = await fresh({ limits: { shards: 2 }, createWriter });
  let number = 0;
  await fc.assert(
    fc.asyncProperty(rounds, async (batches) => {
      const prefix = `run${(number += 1)}.`;
      const models = new Map<string, Model>();
      for (const name of ["a", "b", "c", "bounded", "deleted"]) {
        const bounds = name === "bounded" ? { minValue: -5, maxValue: 5 } : {};
        await createActive(counts.states, { countId: prefix + name, initialValue: 1, ...bounds });
        const [low, high] = name === "bounded" ? [-5n, 5n] : [-max, max];
        models.set(name, { value: 1n, revision: 1, min: low, max: high, isDeleted: name === "deleted" });
      }
      await counts.states.remove({ countId: `${prefix}deleted`, infoRevision: 2 });
      const remembered = new Map<string, { content: string; value: bigint; revision: number }>();
      for (const batch of batches) {
        const expected = batch.map((write) => {
          const content = contentOf(write);
          const key = `${write.principal} ${write.count} ${write.request}`;
          const first = write.request === null ? undefined : remembered.get(key);
          if (first !== undefined) {
            if (first.content !== content) return { outcome: "request_id_reused" };
            return { outcome: "replayed", value: Number(first.value), revision: first.revision };
          }
          const model = models.get(write.count);
          if (model === undefined) return { outcome: "not_found" };
          if (model.isDeleted) return { outcome: "deleted" };
          const operand = BigInt(operandOf(write));
          const value = write.kind === "set" ? operand : model.value + operand;
          if (value < model.min || value > model.max) {
            const bound = value < model.min ? model.min : model.max;
            return { outcome: "out_of_range", value: Number(model.value), bound: Number(bound) };
          }
          model.value = value;
          model.revision += 1;
          if (write.request !== null) remembered.set(key, { content, value, revision: model.revision });
          return { outcome: "applied", value: Number(value), revision: model.revision };
        });
        const got = await Promise.all(
          [0, 1].map(async (shard) => {
            const places = [...batch.keys()].filter(
              (place) => counts.writer.shardOf(prefix + (batch[place]?.count ?? "")) === shard,
            );
            if (places.length === 0) return [];
            const outcomes = await counts.write(
              places.map((place) => {
                const write = batch[place] as (typeof batch)[number];
                return {
                  countId: prefix + write.count,
                  kind: write.kind === "set" ? "s" : "a",
                  operand: operandOf(write),
                  requestId: write.request ?? "",
                  principal: write.principal,
                } satisfies CountWrite;
              }),
            );
            return places.map((place, index) => [place, outcomes[index]] as const);
          }),
        );
        const outcomes = got
          .flat()
          .toSorted(([a], [b]) => a - b)
          .map(([, outcome]) => {
            if (outcome === undefined || !isApplied(outcome)) return outcome;
            return { outcome: outcome.outcome, value: outcome.value, revision: outcome.revision };
          });
        expect(outcomes as unknown[]).toEqual(expected);
      }
      for (const [name, model] of models) {
        const [read] = await counts.states.read([prefix + name]);
        expect(read?.record).toMatchObject({ value: Number(model.value), revision: model.revision });
      }
      const changes = (await counts.outbox()).filter(({ countId }) => countId.startsWith(prefix));
      for (const [name, model] of models) {
        const own = changes.filter(({ countId }) => countId === prefix + name);
        expect(own.map(({ revision }) => revision)).toEqual(own.map((_, place) => place + 1));
        expect(own.reduce((sum, { delta }) => sum + delta, 0n)).toBe(model.value);
        expect(own).toHaveLength(model.revision);
      }
    }),
    // A broken rule need not be shrunk to its smallest example.
    { seed, numRuns: runs, endOnFailure: createWriter !== undefined },
  );
}

function operandOf(write: { kind: string; operand: number; isNegative: boolean }): number {
  return write.kind === "subtract" || (write.kind === "set" && write.isNegative) ? -write.operand : write.operand;
}

function contentOf(write: { kind: string; operand: number; isNegative: boolean }): string {
  return `${write.kind === "set" ? "set" : "add"} ${operandOf(write)}`;
}

async function checkOneBad(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1 }, createWriter });
  await counts.seed("a", "b");
  const many = Array.from({ length: 512 }, (_, place) => add(place % 2 === 0 ? "a" : "b", 1));
  many[200] = add("missing", 1);
  const outcomes = await counts.write(many);
  expect(outcomes.filter(isApplied)).toHaveLength(511);
  expect(outcomes[200]).toEqual({ outcome: "not_found" });
  const read = await counts.states.read(["a", "b"]);
  expect(read.map(({ record }) => record?.value)).toEqual([255, 256]);
  expect(await counts.store.client.xlen(keysOf(0).outbox)).toBe(3);
}

describe("the batch script", () => {
  test("does what the model does", () => holdToModel(undefined, 60));

  test.each([
    ["bounds", "elseif after < low or after > high then", "elseif false then"],
    ["state", "if state ~= 1 then", "if false then"],
    ["fingerprint", "if first_kind == kind and first_operand == operand then", "if true then"],
    [
      "memory of request ids",
      "requests[request_count + 2] = reply",
      "requests[request_count + 2] = pack_struct('<Bdddd', 0, 0, 0, 0, 0)",
    ],
    ["revision", "value, revision = after, last + 1", "value, revision = after, last"],
    ["order within a batch", "if places then records[place] = record end", ""],
    ["value before a Set", "befores[#befores + 1] = before", "befores[#befores + 1] = 0"],
    [
      "remembering what was applied only",
      "after < low and low or high\n",
      "after < low and low or high\n if digest then found[digest] = pack_struct('<Bdddd', kind, operand, before, 0, now) end\n",
    ],
  ])("is caught without its rule of %s", async (_, rule, instead) => {
    await caught(async () => holdToModel(await brokenWriter(rule, instead), 600));
  });

  test("applies 511 good writes beside a bad one, as one entry of the outbox", async () => {
    await checkOneBad();
    await caught(async () => checkOneBad(await brokenWriter("codes[write] = code end", "codes[write] = 0 end")));
  });
});

async function checkPending(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ createWriter });
  await counts.states.create({ countId: "a", infoRevision: 1, initialValue: 7 });
  expect(await counts.write([add("a", 1), set("a", 1, "request-1")])).toEqual([
    { outcome: "not_found" },
    { outcome: "not_found" },
  ]);
  await counts.states.activate({ countId: "a", infoRevision: 1 });
  expect(await counts.write([add("a", 1)])).toMatchObject([{ outcome: "applied", value: 8, revision: 2 }]);
}

describe("a Count that is being created", () => {
  test("is not found before it is active", async () => {
    await checkPending();
    await caught(async () => checkPending(await brokenWriter("state == 2 and 3 or 2", "state and 3 or 2")));
    await caught(async () => checkPending(await brokenWriter("if state ~= 1 then", "if state == 2 then")));
  });
});

async function checkRequestId(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1, requestWindowMs: 600_000 }, createWriter });
  await counts.seed("a", "b");
  const [first] = (await counts.write([add("a", 5, "request-1")])) as [AppliedWrite];
  expect(await counts.write([add("a", 5, "request-1")])).toEqual([{ ...first, outcome: "replayed" }]);
  // Other content, another id, another caller, another Count.
  expect(await counts.write([add("a", 6, "request-1")])).toEqual([{ outcome: "request_id_reused" }]);
  expect(await counts.write([set("a", 5, "request-1")])).toEqual([{ outcome: "request_id_reused" }]);
  expect(await counts.write([add("a", 5, "request-2")])).toMatchObject([{ value: 10 }]);
  expect(await counts.write([add("a", 5, "request-1", "api_key:two")])).toMatchObject([{ value: 15 }]);
  expect(await counts.write([add("b", 5, "request-1")])).toMatchObject([{ outcome: "applied", value: 5 }]);
  // After the window it is new again, and not before; what was remembered until then is gone.
  await stepClock(counts, 500_000);
  expect(await counts.write([add("a", 5, "request-1")])).toEqual([{ ...first, outcome: "replayed" }]);
  await stepClock(counts, 100_000);
  expect(await counts.write([add("a", 5, "request-1")])).toMatchObject([{ outcome: "applied", value: 20 }]);
  const kept = await counts.store.client.keys("count:{0}:requests:*");
  const ids = await Promise.all(kept.map((key) => counts.store.client.hlen(key)));
  expect(ids).toEqual([2]); // And how many are its caller's.
}

/** Repeats young writes while buckets are opened and dropped. */
async function holdWindow(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1, requestWindowMs: 600_000 }, createWriter });
  await counts.seed("a");
  const sent: AppliedWrite[] = [];
  for (let number = 0; number < 100; number += 1) {
    await stepClock(counts, 20_000);
    const [outcome] = (await counts.write([add("a", 1, `request-${number}`)])) as [AppliedWrite];
    expect(outcome.outcome).toBe("applied");
    sent.push(outcome);
    const young = sent.findIndex(({ timeMs }) => timeMs > outcome.timeMs - 500_000);
    expect(await counts.write([add("a", 1, `request-${young}`)])).toMatchObject([{ outcome: "replayed" }]);
  }
}

async function checkRequestIdsMax(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({
    limits: { shards: 1, requestIdsMax: 3, requestIdsPerCallerPercent: 100 },
    createWriter,
  });
  await counts.seed("a");
  const outcomesOf = async (...requests: readonly string[]): Promise<readonly string[]> =>
    (await counts.write(requests.map((request) => add("a", 1, request)))).map(({ outcome }) => outcome);
  expect(await outcomesOf("request-1", "request-2")).toEqual(["applied", "applied"]);
  expect(await outcomesOf("request-3", "request-4")).toEqual(["applied", "request_ids_full"]);
  expect(await counts.write([add("a", 1), add("a", 1, "request-1"), add("a", 1, "request-5")])).toMatchObject([
    { outcome: "applied", value: 4 },
    { outcome: "replayed", value: 1 },
    { outcome: "request_ids_full" },
  ]);
}

function by(principal: string, ...requests: readonly string[]): readonly CountWrite[] {
  return requests.map((request) => add("a", 1, request, principal));
}

async function checkRequestIdsOfCaller(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1, requestIdsMax: 12 }, createWriter });
  await counts.seed("a");
  const outcomesOf = async (...writes: readonly CountWrite[]): Promise<readonly string[]> =>
    (await counts.write(writes)).map(({ outcome }) => outcome);
  const full = "request_ids_of_caller_full";
  // Three of the twelve are one caller's, in one batch or in several, however many callers a batch has.
  expect(await outcomesOf(...by("one", "r1", "r2"))).toEqual(["applied", "applied"]);
  expect(await outcomesOf(...by("two", "r1"), ...by("one", "r3", "r4"), ...by("two", "r2"))).toEqual([
    "applied",
    "applied",
    full,
    "applied",
  ]);
  expect(await outcomesOf(...by("one", "r5"))).toEqual([full]);
  // What was remembered is answered all the same, and what needs no memory is done.
  expect(await outcomesOf(...by("one", "r1"), add("a", 1))).toEqual(["replayed", "applied"]);
  expect(await outcomesOf(...by("two", "r3", "r4"), ...by("three", "r1"))).toEqual(["applied", full, "applied"]);
  // In another bucket they still count, and no more once the window has passed.
  await stepClock(counts, 200_000);
  expect(await outcomesOf(...by("one", "r6"), ...by("three", "r2"))).toEqual([full, "applied"]);
  await stepClock(counts, 200_000);
  expect(await outcomesOf(...by("three", "r3", "r4"))).toEqual(["applied", full]);
  await stepClock(counts, 250_000);
  expect(await outcomesOf(...by("one", "r6", "r7", "r8", "r9"), ...by("three", "r4"))).toEqual([
    "applied",
    "applied",
    "applied",
    full,
    "applied",
  ]);
}

describe("a request id", () => {
  test("is one caller's, one Count's, one write's, and lives for the window", () => checkRequestId());

  test("would be missed without its window", async () => {
    await caught(async () => checkRequestId(await brokenWriter("meta[place] + window <= now", "meta[place] <= now")));
  });

  test.each([
    ["caller", "${countId}\\0${requestId}"],
    ["Count", "${principal}\\0${requestId}"],
    ["own text", "${principal}\\0${countId}"],
  ])("would be mistaken for another without its %s", async (_, scope) => {
    const createWriter = await brokenWriter("${principal}\\0${countId}\\0${requestId}", scope, "batch.ts");
    await caught(() => checkRequestId(createWriter));
  });

  test("is remembered for the whole window while buckets change", async () => {
    await holdWindow();
    await caught(async () =>
      holdWindow(await brokenWriter("meta[place] + window <= now", "meta[place] + window / 2 <= now")),
    );
  });

  test("is refused when as many are remembered as may be", async () => {
    await checkRequestIdsMax();
    await caught(async () => checkRequestIdsMax(await brokenWriter("remembered >= requests_max", "false")));
    // Ids of earlier batches count as well as those of this one.
    await caught(async () =>
      checkRequestIdsMax(await brokenWriter("else remembered = remembered + meta[place + 1] end", "end")),
    );
    await caught(async () => checkRequestIdsMax(await brokenWriter("remembered = remembered + 1", "")));
  });

  test("is refused to a caller who has a quarter of all, and to nobody else", async () => {
    await checkRequestIdsOfCaller();
  });

  test.each([
    ["without the bound", "held[caller] >= caller_max", "false"],
    ["that forgets earlier batches", "held[place] = held[place] + own", ""],
    [
      "that forgets earlier writes of the batch",
      "held[caller], held_now[caller] = held[caller] + 1, held_now[caller] + 1",
      "held_now[caller] = held_now[caller] + 1",
    ],
    ["that counts all of a batch for its first caller", "caller_of and caller_of[next_digest] or 1", "1"],
    ["that counts the present bucket anew", "held_now[place] = own", "held_now[place] = 0"],
    ["that writes no counts", "requests[request_count + 2] = held_now[caller]", "requests[request_count + 2] = 0"],
  ])("would be miscounted by a script %s", async (_, rule, instead) => {
    const broken = await brokenWriter(rule, instead);
    await caught(() => checkRequestIdsOfCaller(broken));
  });
});

describe("a writer's memory", () => {
  const base = {
    slots: 2,
    memoryMs: 3_600_000,
    requestWindowMs: 600_000,
    requestIdsMax: 100,
    requestIdsPerCallerMax: 25,
    outboxBytesMax: 1e9,
  };
  const send = async (
    counts: CountFixture,
    run: typeof runBatch,
    sequence: number,
    begin = false,
    outboxBytesMax = 1e9,
  ): Promise<BatchReply> => {
    const header = { ...base, outboxBytesMax, sequence, begin };
    const batch = encodeBatch(batchKeys(0, "w"), header, encodeWrites([add("a", sequence)]));
    return decodeReply(await run(counts.store.client, batch), 1);
  };
  const check = async (run: typeof runBatch) => {
    await using counts = await fresh({ limits: { shards: 1 } });
    await counts.seed("a");
    expect(await send(counts, run, 1)).toEqual({ kind: "unknown_writer" });
    const first = await send(counts, run, 1, true);
    expect(first).toMatchObject({ kind: "done", outcomes: [{ value: 1 }] });
    const third = await send(counts, run, 3);
    const second = await send(counts, run, 2); // Overtaken on the way, and still taken.
    expect(second).toMatchObject({ kind: "done", outcomes: [{ value: 6 }] });
    expect(await send(counts, run, 3)).toEqual(third);
    expect(await send(counts, run, 2, true)).toEqual(second);
    expect(await send(counts, run, 1)).toEqual({ kind: "evicted" });
    expect(await send(counts, run, 4, false, 100)).toEqual({ kind: "outbox_full" });
    // A copy of the refused batch that comes late does not do what its callers were told was not done.
    expect(await send(counts, run, 4)).toEqual({ kind: "outbox_full" });
    expect((await counts.states.read(["a"]))[0]?.record).toMatchObject({ value: 6, revision: 4 });
    const key = keysOf(0).writer("w");
    expect(await counts.store.client.pttl(key)).toBeGreaterThan(3_600_000);
    // In use it lives on.
    await counts.store.client.pexpire(key, 60_000);
    await stepClock(counts, 1_000_000);
    await send(counts, run, 8);
    expect(await counts.store.client.pttl(key)).toBeGreaterThan(3_600_000);
    // One that would push out a reply that may still be asked for comes too late as well.
    const last = await send(counts, run, 9);
    expect(await send(counts, run, 7)).toEqual({ kind: "evicted" });
    expect(await send(counts, run, 9)).toEqual(last);
    expect((await counts.states.read(["a"]))[0]?.record).toMatchObject({ value: 23, revision: 6 });
  };

  test("answers what it remembers and refuses what it has forgotten", () => check(runBatch));

  test.each([
    ["answers", "if memory[place + 2] == sequence then", "if false then"],
    ["refusals", "if sequence <= memory[1] or sequence < memory[slot + 2] then return 'E' end", ""],
    ["writers", "else return 'U' end", "else memory = {0, 0, 0, 0} end"],
    ["refused batches", "if memory_ms > 0 then remember('F') end", ""],
    ["refusals of the oldest", "sequence < memory[slot + 2]", "false"],
    ["life", "call('PEXPIRE', KEYS[4], memory_ms * 2)", "call('PEXPIRE', KEYS[4], 1000)"],
    ["longer life", "now - memory[2] >= memory_ms / 4", "memory[2] == 0"],
  ])("is caught without its %s", async (_, rule, instead) => {
    const path = join(import.meta.dir, "store-redis.ts");
    const mutant = await importMutant<{ runBatch: typeof runBatch }>(path, rule, instead);
    await caught(() => check(mutant.runBatch));
  });
});

/** Moves the last TIME that a shard has seen: as if TIME had been there, and had stepped the other way since. */
async function stepClock({ store }: CountFixture, ms: number): Promise<void> {
  const meta = (await store.client.getBuffer(keysOf(0).meta)) as Buffer;
  meta.writeDoubleLE(meta.readDoubleLE(0) + ms, 0);
  await store.client.set(keysOf(0).meta, meta);
}

async function checkClock(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1 }, createWriter });
  await counts.seed("a");
  const [before] = (await counts.write([add("a", 1, "request-1")])) as [AppliedWrite];
  await stepClock(counts, 3_600_000); // TIME has stepped back by an hour.
  const [after] = (await counts.write([add("a", 1, "request-2")])) as [AppliedWrite];
  expect(after.timeMs - before.timeMs).toBeGreaterThanOrEqual(3_600_000);
  const [later] = (await counts.write([add("a", 1)])) as [AppliedWrite];
  expect(later.timeMs).toBeGreaterThanOrEqual(after.timeMs);
  expect(later.timeMs - after.timeMs).toBeLessThan(60_000);
  await stepClock(counts, -3_600_000); // TIME has stepped forward by an hour: the clock goes with it.
  const [last] = (await counts.write([add("a", 1, "request-2")])) as [AppliedWrite];
  expect(last.outcome === "replayed" || last.timeMs >= later.timeMs).toBe(true);
}

describe("the shard's clock", () => {
  test("never goes back, whichever way TIME steps", () => checkClock());

  test("would go back without its offset", async () => {
    await caught(async () =>
      checkClock(
        await brokenWriter(
          "if raw < meta[1] then meta[2] = meta[2] + (meta[1] - raw) end",
          "",
          "../../shared/shard-meta.ts",
        ),
      ),
    );
  });
});

async function checkOutboxBound(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({
    limits: { shards: 1, outboxBytesMax: 2000 },
    createWriter,
  });
  await counts.seed("a");
  let applied = 0;
  const fill = async () => {
    for (; applied < 100; applied += 1) await counts.write([add("a", 1)]);
  };
  expect(fill()).rejects.toMatchObject({ code: "resource_exhausted", reason: "OUTBOX_FULL" });
  expect(applied).toBeGreaterThan(2);
  expect((await counts.states.read(["a"]))[0]?.record).toMatchObject({ value: applied, revision: applied + 1 });
  expect(await counts.outbox()).toHaveLength(applied + 1);
}

describe("the bound of the outbox", () => {
  test("refuses writes and drops none", () => checkOutboxBound());

  test("would be passed without its check", async () => {
    await caught(async () => checkOutboxBound(await brokenWriter("+ size > outbox_max then", "+ size < 0 then")));
  });
});

/** Whatever key of a shard is damaged, a batch that needs it changes nothing. */
async function checkFirst(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1 }, createWriter });
  const { client } = counts.store;
  await counts.seed("a");
  await counts.write([add("a", 1)]);
  const whole = async () => {
    const keys = (await client.keys("*")).toSorted();
    return Promise.all(keys.map(async (key) => [key, (await client.dumpBuffer(key)).toString("hex")]));
  };
  const [writer] = await client.keys("count:{0}:writer:*");
  const { states, outbox, meta, requests } = keysOf(0);
  for (const damaged of [[states], [outbox], [meta], [writer as string], requests]) {
    const kept = await Promise.all(damaged.map(async (key) => [key, await client.dumpBuffer(key)] as const));
    await client.unlink(...damaged);
    for (const key of damaged) await client.zadd(key, 1, "not what belongs here");
    const before = await whole();
    expect(counts.write([add("a", 1, "request-1")])).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    expect(await whole()).toEqual(before);
    await client.unlink(...damaged);
    for (const [key, value] of kept) if ((value as Buffer | null) !== null) await client.restore(key, 0, value);
  }
  expect(await counts.write([add("a", 1, "request-1")])).toMatchObject([{ outcome: "applied", value: 2, revision: 3 }]);
}

describe("a batch that fails", () => {
  test("fails before its first write", () => checkFirst());

  test.each([
    ["outbox", "call('XLEN', KEYS[2])"],
    ["request ids", "call('HLEN', KEYS[4 + bucket])"],
  ])("would leave half of its work behind without its look at the %s", async (_, look) => {
    await caught(async () => checkFirst(await brokenWriter(look, "")));
  });
});

/** What large keys are removed by, as request ids pass their window. */
async function checkRemoval(createWriter?: CreateWriter): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1 }, createWriter });
  const { client } = counts.store;
  await counts.seed("a");
  await counts.write([add("a", 1, "request-1")]);
  await stepClock(counts, 3_600_000);
  await client.config("RESETSTAT");
  expect(await counts.write([add("a", 1, "request-1")])).toMatchObject([{ outcome: "applied", value: 2 }]);
  const stats = await client.info("commandstats");
  expect(stats).toContain("cmdstat_unlink:");
  expect(stats).not.toContain("cmdstat_del:");
}

describe("request ids whose window has passed", () => {
  test("are removed without holding up the server", async () => {
    await checkRemoval();
    await caught(async () => checkRemoval(await brokenWriter("call('UNLINK',", "call('DEL',")));
  });
});

/** Deletes a Count that was written to and brings it back. */
async function checkReturn(createStates?: typeof createCountStates): Promise<void> {
  await using counts = await fresh({ limits: { shards: 1 }, createStates });
  await counts.seed("a");
  await counts.write([add("a", 5), add("a", 2)]);
  await counts.states.remove({ countId: "a", infoRevision: 2 });
  expect(await counts.states.create({ countId: "a", infoRevision: 3, initialValue: 0 })).toMatchObject({
    outcome: "stale",
  });
  await counts.states.restore({ countId: "a", infoRevision: 3 });
  expect(await counts.write([add("a", 1)])).toMatchObject([{ outcome: "applied", value: 8, revision: 4 }]);
  expect((await counts.outbox()).map(({ revision }) => revision)).toEqual([1, 2, 3, 4]);
}

describe("the revision of a Count that was deleted", () => {
  test.each([
    ["count-states.ts", "else state = 1 end", "else state, revision = 1, 1 end"],
    ["count-creations.ts", "if record then", "if false then"],
  ])("never restarts, and it is noticed when it does: %s, %s", async (file, rule, instead) => {
    await checkReturn();
    const [path, states] = [file, "count-states.ts"].map((name) => join(import.meta.dir, "../../shared", name)) as [
      string,
      string,
    ];
    const above = path === states ? [] : [states];
    const mutant = await importMutant<{ createCountStates: typeof createCountStates }>(path, rule, instead, above);
    await caught(() => checkReturn(mutant.createCountStates));
  });
});

/** Writes to Counts of all shards of a Redis Cluster, which refuses whatever touches keys of two of them. */
async function checkOneShard(cluster: TestRedis, name: string, createWriter?: CreateWriter): Promise<void> {
  await using counts = await openCounts(cluster.url, { createWriter });
  await eventually(() => expect(counts.writer.obstacle()).toBeUndefined());
  const ids = Array.from({ length: 16 }, (_, place) => `${name}.${place}`);
  await counts.seed(...ids);
  expect(new Set(ids.map((id) => counts.writer.shardOf(id))).size).toBe(4);
  for (const id of ids) {
    const [outcome] = await counts.write([add(id, 1, "request-1")]).catch((error: unknown) => [error]);
    expect(outcome).toMatchObject({ outcome: "applied", value: 1 });
  }
}

describe("a batch", () => {
  test("touches one shard", async () => {
    await using cluster = await startRedis({ args: ["--cluster-enabled", "yes"] });
    const store = openRedis({ url: cluster.url, name: "slots" });
    await store.start();
    await store.client.call("CLUSTER", "ADDSLOTSRANGE", 0, 16_383);
    await eventually(async () => expect(await store.client.cluster("INFO")).toContain("cluster_state:ok"));
    await store.stop();
    await checkOneShard(cluster, "a");
    const elsewhere = await brokenWriter("keys.writer(writerId)", "keysOf(shard + 1).writer(writerId)", "batch.ts");
    await caught(() => checkOneShard(cluster, "b", elsewhere));
  });
});
