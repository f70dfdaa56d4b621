import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { fromBinary } from "@bufbuild/protobuf";
import { CountsChangedSchema } from "../../../gen/muin/count/v1/count_value_events_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { type EventRecord, EventRefusedError } from "../../../platform/service/event-record.ts";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { add, openBus, openCounts, silent } from "../count-fixture.ts";
import { createOutboxRelay, type OutboxRelay } from "./relay.ts";

let countsRedis: TestRedis;
let eventsRedis: TestRedis;
beforeAll(async () => {
  [countsRedis, eventsRedis] = await Promise.all([startRedis(), startRedis()]);
});
afterAll(() => Promise.all([countsRedis.stop(), eventsRedis.stop()]));

type CreateRelay = typeof createOutboxRelay;

const changesOf = ({ data }: EventRecord) => fromBinary(CountsChangedSchema, data).changes;

/**
 * The counts store with a Count each on two shards, and a relay whose time the test lets pass. The bus refuses changes with the
 * request id "bad" for themselves, until it is mended.
 */
async function startParking(createRelay: CreateRelay = createOutboxRelay, outboxBytesMax = 1_000_000) {
  const counts = await openCounts(countsRedis.url, { limits: { outboxBytesMax } });
  const bus = openBus(eventsRedis.url, `test ${crypto.randomUUID()}`);
  await bus.start();
  const prefix = `${crypto.randomUUID()}.`;
  const ids = Array.from({ length: 64 }, (_, place) => `${prefix}${place}`);
  const stuck = ids[0] as string;
  const shard = counts.writer.shardOf(stuck);
  const free = ids.find((id) => counts.writer.shardOf(id) !== shard) as string;
  let isRefusing = true;
  let monotonicMs = systemClock.monotonic();
  /** Changes of the two Counts in the order in which the bus took them. */
  const seen = { stuck: [] as bigint[], free: [] as bigint[] };
  const metrics = createMetrics();
  const newRelay = (): OutboxRelay =>
    createRelay({
      store: counts.store,
      layout: () => counts.writer.layout(),
      leases: bus.leases,
      broker: {
        publish: async (records, term) => {
          const isBad = records.flatMap(changesOf).some(({ requestId }) => requestId === "bad");
          if (isBad && isRefusing) throw new EventRefusedError("the bus does not like it");
          await bus.publish(records, term);
          for (const { countId, revision } of records.flatMap(changesOf)) {
            if (countId === stuck) seen.stuck.push(revision);
            if (countId === free) seen.free.push(revision);
          }
        },
      },
      clock: { ...systemClock, monotonic: () => monotonicMs },
      random: systemRandom,
      log: silent,
      metrics,
    });
  const relays = [newRelay()];
  await counts.seed(stuck, free);
  return {
    counts,
    relay: relays[0] as OutboxRelay,
    stuck,
    free,
    shard,
    seen,
    mend: () => void (isRefusing = false),
    pass: (ms: number) => void (monotonicMs += ms),
    /** Stops the relay, and starts another. */
    replace: async () => {
      await relays[0]?.stop();
      relays.unshift(newRelay());
      await relays[0]?.start();
    },
    parked: async () =>
      ((await relays[0]?.parked("", 100)) ?? []).map(({ subject, attempts, reason }) => ({
        subject,
        attempts,
        reason,
      })),
    metric: async () => /^muin_count_write_outbox_parked (.*)$/m.exec(await metrics.render())?.[1],
    [Symbol.asyncDispose]: async () => {
      await relays[0]?.stop();
      await counts.store.client.flushall();
      await counts[Symbol.asyncDispose]();
      await bus.stop();
    },
  };
}

type Parking = Awaited<ReturnType<typeof startParking>>;

/** Writes a good, a bad and another good change to the one Count, and one to the other. */
async function writeAll({ counts, stuck, free }: Parking): Promise<void> {
  await counts.write([add(stuck, 1)]);
  await counts.write([add(stuck, 1, "bad")]);
  await counts.write([add(stuck, 1)]);
  await counts.write([add(free, 1)]);
}

/** A shard is parked, tried again, redriven and mended: what others see at each step, each within `timeoutMs`. */
async function parkAndMend(createRelay?: CreateRelay, timeoutMs = 10_000): Promise<void> {
  const soon = (check: () => Promise<void> | void) => eventually(check, { timeoutMs });
  await using parking = await startParking(createRelay);
  const { counts, relay, seen, stuck, free, parked } = parking;
  const subject = parking.shard.toString();
  const refused = (attempts: number) => ({ subject, attempts, reason: "the bus does not like it" });
  const behind = { subject, attempts: 0, reason: "" };
  await writeAll(parking);
  await relay.start();
  await soon(async () => expect(await parked()).toEqual([refused(1), behind]));
  expect(seen).toEqual({ stuck: [1n, 2n], free: [1n, 2n] });
  await counts.write([add(stuck, 1)]);
  await counts.write([add(free, 1)]);
  await soon(() => expect(seen).toEqual({ stuck: [1n, 2n], free: [1n, 2n, 3n] }));
  await soon(async () => expect(await relay.read()).toMatchObject({ depth: 0, ageMs: 0, parked: 3 }));

  // By itself after a second, and then after four.
  parking.pass(1000);
  await soon(async () => expect(await parked()).toEqual([refused(2), behind, behind]));
  parking.pass(3999);
  await soon(async () => expect(await parking.metric()).toBe("3"));
  expect(await parked()).toEqual([refused(2), behind, behind]);
  parking.pass(1);
  await soon(async () => expect(await parked()).toEqual([refused(3), behind, behind]));

  // By an operator, while nothing is mended.
  expect(await relay.redrive("63")).toBe(0);
  expect(await relay.redrive(subject)).toBe(3);
  parking.pass(1000);
  await soon(async () => expect(await parked()).toEqual([refused(1), behind, behind]));
  expect(seen.stuck).toEqual([1n, 2n]);

  parking.mend();
  expect(await relay.redrive(undefined)).toBe(3);
  parking.pass(1000);
  await soon(() => expect(seen.stuck).toEqual([1n, 2n, 3n, 4n, 5n]));
  await soon(async () => expect(await relay.read()).toMatchObject({ depth: 0, parked: 0, bytes: 0 }));
  parking.pass(1000);
  await soon(async () => expect(await counts.store.client.exists(keysOf(parking.shard).parked)).toBe(0));
  expect(seen.free).toEqual([1n, 2n, 3n]);
}

describe("an entry that the bus refuses for itself", () => {
  test("parks its shard alone, in its order, and is tried again by itself and when asked for", () => parkAndMend());

  test.each([
    ["fails all", "publish-entries.ts", "return publishSingly(broker, made, term);", "throw error;"],
    ["is overtaken", "publish-entries.ts", "if (refused.has(entry.shard)) continue;\n    try {", "try {"],
    ["is overtaken by later rounds", "parking.ts", "?.isWaiting === true,", "?.isWaiting === undefined,"],
    ["is never tried again", "parking.ts", "clock.monotonic() < state.dueMs", "clock.monotonic() > 0"],
    ["is tried again at once", "parking.ts", "clock.monotonic() < state.dueMs", "clock.monotonic() < 0"],
    ["is not given back", "parking.ts", "state.isMarkDue || marks.has(shard)", "state.isMarkDue || true"],
    [
      "is thrown away",
      "deliver.ts",
      "trimEntries(store, done)",
      "trimEntries(store, entries.map(({ entry }) => entry))",
    ],
  ])("mutant: it %s", async (_, file, from, to) => {
    const own = join(import.meta.dir, "relay.ts");
    const path = join(import.meta.dir, file);
    const mutant = await importMutant<{ createOutboxRelay: CreateRelay }>(path, from, to, path === own ? [] : [own]);
    await caught(() => parkAndMend(mutant.createOutboxRelay, 3000));
  });

  test("is published by itself once the bus takes it", async () => {
    await using parking = await startParking();
    await writeAll(parking);
    await parking.relay.start();
    await eventually(async () => expect(await parking.parked()).toHaveLength(2));
    parking.mend();
    parking.pass(1000);
    await eventually(() => expect(parking.seen.stuck).toEqual([1n, 2n, 3n, 4n]));
    await eventually(async () => expect(await parking.relay.read()).toMatchObject({ depth: 0, parked: 0 }));
  });

  test("is tried again by the next relay, which knows how often it was refused", async () => {
    await using parking = await startParking();
    await writeAll(parking);
    await parking.relay.start();
    await eventually(async () => expect(await parking.parked()).toMatchObject([{ attempts: 1 }, { attempts: 0 }]));
    await parking.replace();
    await eventually(async () => expect(await parking.parked()).toMatchObject([{ attempts: 2 }, { attempts: 0 }]));
    parking.mend();
    parking.pass(4000);
    await eventually(() => expect(parking.seen.stuck).toEqual([1n, 2n, 3n, 4n]));
  });

  test("fills the outbox of its shard: writes there are refused, others are not", async () => {
    await using parking = await startParking(undefined, 2000);
    const { counts, stuck, free, relay, seen } = parking;
    await writeAll(parking);
    await relay.start();
    await eventually(async () => expect(await parking.parked()).toHaveLength(2));
    const isRefused = async (): Promise<boolean> =>
      counts.write([add(stuck, 1)]).then(
        () => false,
        (error: unknown) => {
          expect(error).toMatchObject({ reason: "OUTBOX_FULL" });
          return true;
        },
      );
    let written = 3n;
    while (!(await isRefused())) written += 1n;
    expect(written).toBeLessThan(20n);
    for (let more = 0; more < 30; more += 1) {
      await counts.write([add(free, 1)]);
      await eventually(async () => expect((await relay.read()).depth).toBe(0));
    }
    expect(await isRefused()).toBe(true);
    parking.mend();
    parking.pass(1000);
    await eventually(async () => expect(await relay.read()).toMatchObject({ depth: 0, parked: 0, bytes: 0 }));
    expect(seen.stuck.at(-1)).toBe(written + 1n);
    expect(await isRefused()).toBe(false);
  });
});

test("an entry that nobody can read parks its shard alone", async () => {
  await using parking = await startParking();
  const { counts, relay, shard, seen, stuck } = parking;
  const { client } = counts.store;
  const id = (await client.xadd(keysOf(shard).outbox, "*", "x", "strange")) as string;
  await counts.write([add(stuck, 1)]);
  await writeAll(parking);
  await relay.start();
  await eventually(async () =>
    expect(await parking.parked()).toMatchObject([
      { attempts: 1, reason: expect.stringMatching(/^the entry cannot be read: /) as string },
      ...Array.from({ length: 4 }, () => ({ attempts: 0, reason: "" })),
    ]),
  );
  expect(seen).toEqual({ stuck: [1n], free: [1n, 2n] });
  const [first] = await relay.parked("", 1);
  expect((await relay.parked(first?.place ?? "", 2)).map(({ attempts }) => attempts)).toEqual([0, 0]);
  expect(relay.parked("strange", 1)).rejects.toMatchObject({ reason: "PAGE_TOKEN_INVALID" });
  parking.mend();
  await client.xdel(keysOf(shard).outbox, id);
  parking.pass(1000);
  await eventually(() => expect(seen.stuck).toEqual([1n, 2n, 3n, 4n, 5n]));
});

/** The counts store has no memory left while its outbox waits. */
async function drainFull(createRelay?: CreateRelay, timeoutMs = 10_000): Promise<void> {
  await using parking = await startParking(createRelay);
  const { counts, relay, seen, stuck } = parking;
  parking.mend();
  await writeAll(parking);
  await counts.store.client.config("SET", "maxmemory", "1");
  try {
    await relay.start();
    await eventually(async () => expect(await relay.read()).toMatchObject({ depth: 0, bytes: 0 }), { timeoutMs });
    expect(seen).toEqual({ stuck: [1n, 2n, 3n, 4n], free: [1n, 2n] });
    const beat = await counts.store.client.get(keysOf(parking.shard).heartbeat);
    await eventually(
      async () => expect(await counts.store.client.get(keysOf(parking.shard).heartbeat)).not.toBe(beat),
      { timeoutMs },
    );
    expect(counts.write([add(stuck, 1)])).rejects.toMatchObject({ reason: "STORE_FULL" });
  } finally {
    await counts.store.client.config("SET", "maxmemory", "0");
  }
  await counts.write([add(stuck, 1)]);
  await eventually(() => expect(seen.stuck).toEqual([1n, 2n, 3n, 4n, 5n]));
}

describe("a store without memory left", () => {
  test("has its outbox emptied and its heart beating", () => drainFull());

  test("mutant: has no heartbeat", async () => {
    const script = '  name: "heartbeat",\n  runsWhenFull: true,';
    const [own, file] = ["relay.ts", "heartbeat.ts"].map((name) => join(import.meta.dir, name)) as [string, string];
    const mutant = await importMutant<{ createOutboxRelay: CreateRelay }>(file, script, '  name: "heartbeat",', [own]);
    await caught(() => drainFull(mutant.createOutboxRelay, 3000));
  });
});
