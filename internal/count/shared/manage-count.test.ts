import { describe, expect, test } from "bun:test";
import { decode } from "@msgpack/msgpack";
import { systemRandom } from "../../platform/clock/random.ts";
import { openRedis } from "../../platform/redis/open-redis.ts";
import { startRedis } from "../../platform/testing/redis.ts";
import { recordLayout } from "./count-store.ts";
import { keysOf, shardOf } from "./key-schema.ts";
import { createCountState } from "./manage-count.ts";
import { readValues } from "./read-values.ts";

/** A store on a fresh Redis. */
async function open() {
  const redis = await startRedis();
  const store = openRedis({ url: redis.url, name: "test" });
  await store.start();
  return {
    store,
    [Symbol.asyncDispose]: async () => {
      await store.stop();
      await redis.stop();
    },
  };
}

describe("the state of Counts", () => {
  test("is not reachable before the layout is recorded, and the number of shards never changes", async () => {
    await using fresh = await open();
    const states = createCountState(fresh.store, { outboxBytesMax: 1e9 });
    expect(states.read(["a"])).rejects.toMatchObject({ code: "unavailable", reason: "STORE_UNAVAILABLE" });
    const layout = await recordLayout(fresh.store, { shards: 4, random: systemRandom });
    expect(await recordLayout(fresh.store, { shards: 4, random: systemRandom })).toEqual(layout);
    expect(recordLayout(fresh.store, { shards: 8, random: systemRandom })).rejects.toThrow("has 4 shards");
    expect(recordLayout(fresh.store, { shards: 3, random: systemRandom })).rejects.toThrow("power of two");
    expect(await states.read(["a"])).toEqual([{ countId: "a", record: undefined, heartbeatMs: undefined }]);
  });

  test("is created with its first change, bounded, removed and restored, each once per info revision", async () => {
    await using fresh = await open();
    const layout = await recordLayout(fresh.store, { shards: 2, random: systemRandom });
    const states = createCountState(fresh.store, { outboxBytesMax: 1e9 });
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
    expect(entries.map(([, fields]) => decode(fields[1] as Buffer))).toEqual([[["a"], [], "s", [-7]]]);
  });

  test("is not created when the outbox is full, and nothing has changed then", async () => {
    await using fresh = await open();
    await recordLayout(fresh.store, { shards: 1, random: systemRandom });
    const full = createCountState(fresh.store, { outboxBytesMax: 300 });
    expect(await full.create({ countId: "a", infoRevision: 1, initialValue: 0 })).toMatchObject({ outcome: "applied" });
    expect(full.create({ countId: "b", infoRevision: 1, initialValue: 0 })).rejects.toMatchObject({
      code: "resource_exhausted",
      reason: "OUTBOX_FULL",
    });
    expect((await full.read(["b"]))[0]?.record).toBeUndefined();
  });
});
