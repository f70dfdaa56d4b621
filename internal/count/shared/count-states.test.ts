import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemRandom } from "../../platform/clock/random.ts";
import { openRedis } from "../../platform/redis/open-redis.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import { createCountStates } from "./count-states.ts";
import { recordLayout } from "./count-store.ts";
import { keysOf, shardOf } from "./key-schema.ts";
import { unpackAsked, unpackReply } from "./packed-writes.ts";
import { readValues } from "./read-values.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

/** An empty store. */
async function open() {
  const store = openRedis({ url: redis.url, name: "test" });
  await store.start();
  await store.client.flushall();
  return { store, [Symbol.asyncDispose]: () => store.stop() };
}

/** Every change of a Count's state, its repeats, and its copies that come late. */
async function checkChanges(create: typeof createCountStates): Promise<void> {
  await using fresh = await open();
  const layout = await recordLayout(fresh.store, { shards: 2, random: systemRandom });
  const states = create(fresh.store, { outboxBytesMax: 1e9 });
  const created = await states.create({ countId: "a", infoRevision: 1, initialValue: -7, minValue: -10 });
  expect(created).toMatchObject({ outcome: "applied", state: "pending", value: -7, revision: 1, infoRevision: 1 });
  expect(Math.abs(created.updateTimeMs - Date.now())).toBeLessThan(60_000);
  expect(await states.create({ countId: "a", infoRevision: 1, initialValue: 5 })).toEqual({
    ...created,
    outcome: "repeated",
  });
  expect(await states.create({ countId: "a", infoRevision: 9, initialValue: 5 })).toEqual({
    ...created,
    outcome: "stale",
  });
  const activation = { countId: "a", infoRevision: 1 };
  expect(await states.activate({ ...activation, infoRevision: 2 })).toMatchObject({
    outcome: "stale",
    state: "pending",
  });
  expect(await states.activate(activation)).toEqual({ ...created, state: "active" });
  expect(await states.activate(activation)).toEqual({ ...created, outcome: "repeated", state: "active" });
  expect(await states.activate({ countId: "b", infoRevision: 1 })).toMatchObject({ outcome: "not_found" });
  expect(await states.setBounds({ countId: "b", infoRevision: 2 })).toMatchObject({ outcome: "not_found" });
  const refused = { countId: "a", infoRevision: 2, minValue: 0 };
  expect(await states.setBounds(refused)).toMatchObject({ outcome: "out_of_range", infoRevision: 2 });
  // Refused once, refused for ever: also a copy that comes when the value would be admitted.
  expect(await states.setBounds({ ...refused, minValue: -9 })).toMatchObject({ outcome: "out_of_range" });
  const bounds = { countId: "a", infoRevision: 3, maxValue: 0 };
  expect(await states.setBounds(bounds)).toMatchObject({ outcome: "applied" });
  expect(await states.setBounds(bounds)).toMatchObject({ outcome: "repeated" });
  expect(await states.remove({ countId: "a", infoRevision: 4 })).toMatchObject({ state: "deleted", value: -7 });
  expect(await states.restore({ countId: "a", infoRevision: 2 })).toMatchObject({ outcome: "stale" });
  expect(await states.restore({ countId: "a", infoRevision: 5 })).toMatchObject({ state: "active", revision: 1 });
  // A copy of the activation that comes late does not bring back what was deleted since.
  await states.remove({ countId: "a", infoRevision: 6 });
  expect(await states.activate(activation)).toMatchObject({ outcome: "stale", state: "deleted" });
  await states.restore({ countId: "a", infoRevision: 7 });
  const read = await readValues(fresh.store, layout, ["none", "a"]);
  expect(read.counts.map(({ record }) => record)).toEqual([
    undefined,
    {
      state: "active",
      value: -7,
      revision: 1,
      updateTimeMs: created.updateTimeMs,
      minValue: -Number.MAX_SAFE_INTEGER,
      maxValue: 0,
      infoRevision: 7,
    },
  ]);
  expect(read.timeMs).toBeGreaterThanOrEqual(created.updateTimeMs);
  const entries = await fresh.store.client.xrangeBuffer(keysOf(shardOf("a", 2)).outbox, "-", "+");
  expect(entries.map(([, fields]) => unpackAsked(fields[1] as Buffer))).toEqual([
    { countIds: ["a"], places: [1], kinds: "s", operands: [-7] },
  ]);
}

async function checkOutboxBound(create: typeof createCountStates): Promise<void> {
  await using fresh = await open();
  await recordLayout(fresh.store, { shards: 1, random: systemRandom });
  const full = create(fresh.store, { outboxBytesMax: 300 });
  expect(await full.create({ countId: "a", infoRevision: 1, initialValue: 0 })).toMatchObject({ outcome: "applied" });
  const refused = await full
    .create({ countId: "b", infoRevision: 1, initialValue: 0 })
    .catch((error: unknown) => error);
  expect(refused).toMatchObject({ code: "resource_exhausted", reason: "OUTBOX_FULL" });
  expect((await full.read(["b"]))[0]?.record).toBeUndefined();
}

/** Several Counts at once: of two shards, one of them twice, one that there is and one whose shard is broken. */
async function checkMany(create: typeof createCountStates): Promise<void> {
  await using fresh = await open();
  await recordLayout(fresh.store, { shards: 2, random: systemRandom });
  const states = create(fresh.store, { outboxBytesMax: 1e9 });
  await states.create({ countId: "n0", infoRevision: 1, initialValue: 4 });
  const ids = ["n0", "n1", "n2", "n3", "n1", "n4", "n5"];
  const shards = ids.map((id) => shardOf(id, 2));
  expect(new Set(shards)).toEqual(new Set([0, 1]));
  const first = await states.createAll(
    ids.map((countId, place) => ({ countId, infoRevision: 2, initialValue: place })),
  );
  expect(first).toMatchObject([
    { outcome: "stale", value: 4, revision: 1, infoRevision: 1 },
    { outcome: "applied", value: 1, revision: 1, infoRevision: 2, state: "pending" },
    { outcome: "applied", value: 2 },
    { outcome: "applied", value: 3 },
    { outcome: "repeated", value: 1 },
    { outcome: "applied", value: 5 },
    { outcome: "applied", value: 6 },
  ]);
  const opened = await states.activateAll(["n0", "none", "n1", "n2"].map((countId) => ({ countId, infoRevision: 2 })));
  expect(opened).toMatchObject([
    { outcome: "stale", state: "pending" },
    { outcome: "not_found" },
    { outcome: "applied", state: "active", value: 1, infoRevision: 2 },
    { outcome: "applied", state: "active", value: 2 },
  ]);
  const changes: [string, number][] = [];
  for (const shard of [0, 1]) {
    const entries = await fresh.store.client.xrangeBuffer(keysOf(shard).outbox, "-", "+");
    // One entry of a step, beside that of the Count that was there.
    expect(entries.length).toBe(shard === shards[0] ? 2 : 1);
    for (const [, fields] of entries) {
      const { countIds, places, kinds, operands } = unpackAsked(fields[1] as Buffer);
      const reply = unpackReply(fields[5] as Buffer, countIds.length);
      expect([kinds, places, reply.codes]).toEqual([
        "s".repeat(countIds.length),
        countIds.map((_, place) => place + 1),
        "",
      ]);
      expect(Math.abs(reply.timeMs - Date.now())).toBeLessThan(60_000);
      for (const [place, countId] of countIds.entries()) {
        expect([reply.valueBefore(place), reply.revisionOf(place)]).toEqual([0, 1]);
        expect(reply.valueOf(place)).toBe(operands[place] as number);
        changes.push([countId, reply.valueOf(place)]);
      }
    }
  }
  expect(new Map(changes)).toEqual(
    new Map([
      ["n0", 4],
      ["n1", 1],
      ["n2", 2],
      ["n3", 3],
      ["n4", 5],
      ["n5", 6],
    ]),
  );
  expect(changes).toHaveLength(6);
  expect((await states.read(["n1", "n3", "n5"])).map(({ record }) => [record?.state, record?.value])).toEqual([
    ["active", 1],
    ["pending", 3],
    ["pending", 6],
  ]);

  // A shard that cannot answer leaves the others.
  const [broken, whole] = [0, 1].map((shard) => ["m0", "m1", "m2", "m3"].filter((id) => shardOf(id, 2) === shard)) as [
    string[],
    string[],
  ];
  await fresh.store.client.unlink(keysOf(0).outbox);
  await fresh.store.client.set(keysOf(0).outbox, "not what belongs here");
  const mixed = await states.createAll(
    [...broken, ...whole].map((countId) => ({ countId, infoRevision: 1, initialValue: 0 })),
  );
  expect(mixed.map((result) => result instanceof Error)).toEqual([
    ...broken.map(() => true),
    ...whole.map(() => false),
  ]);
  expect(Math.min(broken.length, whole.length)).toBeGreaterThan(0);
}

/** Whatever key of a shard is damaged, a change that needs it changes nothing. */
async function checkFirst(create: typeof createCountStates): Promise<void> {
  await using fresh = await open();
  await recordLayout(fresh.store, { shards: 1, random: systemRandom });
  const states = create(fresh.store, { outboxBytesMax: 1e9 });
  const { client } = fresh.store;
  const { states: records, outbox, meta } = keysOf(0);
  for (const damaged of [records, outbox, meta]) {
    await client.zadd(damaged, 1, "not what belongs here");
    const failed = await states.create({ countId: "a", infoRevision: 1, initialValue: 0 }).then(
      () => "applied",
      () => "failed",
    );
    expect(failed).toBe("failed");
    expect((await client.keys("count:{0}:*")).toSorted()).toEqual([damaged]);
    await client.unlink(damaged);
  }
  expect(await states.create({ countId: "a", infoRevision: 1, initialValue: 0 })).toMatchObject({ outcome: "applied" });
}

describe("the state of Counts", () => {
  test("is created with its first change, bounded, removed and restored, each once per info revision", () =>
    checkChanges(createCountStates));

  test("is not created when the outbox is full, and nothing has changed then", () =>
    checkOutboxBound(createCountStates));

  test("is changed whole or not at all", () => checkFirst(createCountStates));

  test("of many is created and opened at once, each by itself", () => checkMany(createCountStates));

  test.each([
    ["repeats", checkChanges, "if given == info then", "if false then"],
    ["late copies", checkChanges, "if given < info then return answer('stale') end", ""],
    ["bounds", checkChanges, "if value < low or value > high then", "if false then"],
    ["refused bounds", checkChanges, "    info = given\n    store()\n    return", "    return"],
    ["tombstones", checkChanges, "elseif operation == 'remove' then state = 2", "elseif operation == 'remove' then"],
  ])("is noticed to be wrong without %s", async (_, check, rule, instead) => {
    const path = join(import.meta.dir, "count-states.ts");
    const mutant = await importMutant<{ createCountStates: typeof createCountStates }>(path, rule, instead);
    await caught(() => check(mutant.createCountStates));
  });

  test.each([
    ["repeats", checkChanges, "(given == info and 'r' or 's')", "'s'"],
    ["what exists", checkChanges, "(given == info and 'r' or 's')", "'r'"],
    ["late activations", checkChanges, "tonumber(ARGV[2 * place]) ~= info", "false"],
    ["repeated activations", checkChanges, "elseif state ~= 3 then", "elseif false then"],
    ["the bound of the outbox", checkOutboxBound, "+ size > tonumber(ARGV[1])", "+ size < 0"],
    ["looking first", checkFirst, "redis.call('XLEN', KEYS[2])", ""],
    ["one of two of the same id", checkMany, " or made[id]", ""],
    ["all first changes", checkMany, "if count > 0 then", "if count == 1 then"],
    ["the value of each", checkMany, "struct.pack('<dd', value, 1)", "struct.pack('<dd', 0, 1)"],
  ])("is created and opened wrongly, and it is noticed, without %s", async (_, check, rule, instead) => {
    const [creations, states] = ["count-creations.ts", "count-states.ts"].map((file) =>
      join(import.meta.dir, file),
    ) as [string, string];
    const mutant = await importMutant<{ createCountStates: typeof createCountStates }>(creations, rule, instead, [
      states,
    ]);
    await caught(() => check(mutant.createCountStates));
  });
});
