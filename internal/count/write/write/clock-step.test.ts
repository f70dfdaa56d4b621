import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { startLossyProxy } from "../../../platform/testing/lossy-proxy.ts";
import { caught } from "../../../platform/testing/mutant.ts";
import { startRedis } from "../../../platform/testing/redis.ts";
import { createSteppableClock, lacksSteppableClock } from "../../../platform/testing/steppable-clock.ts";
import { keysOf } from "../../shared/key-schema.ts";
import {
  add,
  brokenWriter,
  type CountFixture,
  type CreateWriter,
  limits,
  openBus,
  openCounts,
  silent,
} from "../count-fixture.ts";
import { createOutboxRelay } from "../relay/relay.ts";
import type { WriteOutcome } from "./batch.ts";

setDefaultTimeout(60_000);

const hour = 3600;
/** Request ids are remembered for ten minutes at least, and gone after that and a bucket more. */
const windowSeconds = limits.requestWindowMs / 1000;

type AppliedWrite = Extract<WriteOutcome, { outcome: "applied" | "replayed" }>;

/** Counts on a Redis whose clock can be stepped. */
async function open(options: { readonly createWriter?: CreateWriter | undefined } = {}) {
  const clock = await createSteppableClock();
  const redis = await startRedis({ clock });
  const proxy = startLossyProxy(redis.port);
  const url = redis.url.replace(`:${redis.port}`, `:${proxy.port}`);
  const counts = await openCounts(url, { limits: { shards: 1 }, ...options });
  await counts.seed("a");
  let applied = 0;
  return {
    clock,
    proxy,
    counts,
    /** Adds 1 under a request id. */
    add: async (requestId: string): Promise<AppliedWrite> => {
      const [outcome] = (await counts.write([add("a", 1, requestId)])) as [AppliedWrite];
      if (outcome.outcome === "applied") applied += 1;
      return outcome;
    },
    /** What was applied is what is stored and what the events will say: no revision missing, none twice, times in order. */
    verify: async (): Promise<void> => {
      expect((await counts.states.read(["a"]))[0]?.record).toMatchObject({ value: applied, revision: applied + 1 });
      const changes = await counts.outbox();
      expect(changes.map(({ revision }) => revision)).toEqual(Array.from({ length: applied + 1 }, (_, at) => at + 1));
      expect(changes.reduce((sum, { delta }) => sum + Number(delta), 0)).toBe(applied);
      const times = changes.map(({ timeMs }) => timeMs);
      expect(times).toEqual(times.toSorted((one, other) => one - other));
    },
    [Symbol.asyncDispose]: async () => {
      await counts[Symbol.asyncDispose]();
      proxy[Symbol.dispose]();
      await redis.stop();
      await clock[Symbol.asyncDispose]();
    },
  };
}

/** The time that the primary shows. */
async function timeMs({ store }: CountFixture): Promise<number> {
  const [seconds, micros] = await store.client.time();
  return Number(seconds) * 1000 + Number(micros) / 1000;
}

async function checkSteppedBack(createWriter?: CreateWriter): Promise<void> {
  await using primary = await open({ createWriter });
  const { clock } = primary;
  const first = await primary.add("request-1");
  await clock.step(-hour);
  expect(await timeMs(primary.counts)).toBeLessThan(first.timeMs - hour * 900); // The step is real.
  expect(await primary.add("request-1")).toEqual({ ...first, outcome: "replayed" });
  const second = await primary.add("request-2");
  // For the whole window, while one bucket after the other is opened.
  for (let quarter = 1; quarter < 4; quarter += 1) {
    await clock.step(windowSeconds / 4);
    expect(await primary.add(`quarter ${quarter}`)).toMatchObject({ outcome: "applied" });
    expect(await primary.add("request-1")).toEqual({ ...first, outcome: "replayed" });
    expect(await primary.add("request-2")).toEqual({ ...second, outcome: "replayed" });
  }
  // No longer than the window and a bucket more: the hour is not waited for.
  await clock.step(windowSeconds / 2);
  expect(await primary.add("quarter 5")).toMatchObject({ outcome: "applied" });
  expect(await primary.add("request-1")).toMatchObject({ outcome: "applied" });
  await primary.verify();
}

async function checkSteppedForward(createWriter?: CreateWriter): Promise<void> {
  await using primary = await open({ createWriter });
  const { clock } = primary;
  const first = await primary.add("request-1");
  await clock.step(hour);
  // The window is shortened: the id was remembered for an hour by the clock, and no longer is.
  const again = await primary.add("request-1");
  expect(again).toMatchObject({ outcome: "applied", revision: first.revision + 1 });
  expect(again.timeMs - first.timeMs).toBeGreaterThanOrEqual(hour * 1000);
  expect(await primary.add("request-1")).toEqual({ ...again, outcome: "replayed" });
  // Set right again, the time between counts as if nothing had been.
  await clock.step(-hour);
  expect(await primary.add("request-1")).toEqual({ ...again, outcome: "replayed" });
  const later = await primary.add("request-2");
  expect(later.timeMs).toBeGreaterThanOrEqual(again.timeMs);
  await primary.verify();
}

/** A batch is done, its reply lost, and the clock stepped before the batch is sent again. */
async function checkWriterMemory(seconds: number, createWriter?: CreateWriter): Promise<void> {
  await using primary = await open({ createWriter });
  await primary.add("");
  await primary.clock.step(seconds);
  primary.proxy.loseReply(0);
  expect(await primary.add("")).toMatchObject({ outcome: "applied", value: 2 });
  expect(primary.proxy.lost()).toBe(1);
  const { client } = primary.counts.store;
  const [memory = ""] = await client.keys(`${keysOf(0).writer("")}*`);
  expect(await client.pttl(memory)).toBeGreaterThanOrEqual(limits.writerMemoryMs);
  await primary.verify();
}

const withoutOffset = () =>
  brokenWriter("if raw < meta[1] then meta[2] = meta[2] + (meta[1] - raw) end", "", "../../shared/shard-meta.ts");

describe.skipIf(lacksSteppableClock)("the primary's clock (skipped without libfaketime)", () => {
  test("stepped back an hour leaves request ids their window, and times in order", async () => {
    await checkSteppedBack();
    await caught(async () => checkSteppedBack(await withoutOffset()));
  });

  test("stepped forward an hour may shorten the window and harms nothing else", async () => {
    await checkSteppedForward();
    await caught(async () => checkSteppedForward(await withoutOffset()));
  });

  test.each([
    ["back", -hour],
    ["forward", hour],
  ])("stepped %s an hour leaves a writer its memory", async (_, seconds) => {
    await checkWriterMemory(seconds);
    await caught(async () =>
      checkWriterMemory(seconds, await brokenWriter("if memory[place + 2] == sequence then", "if false then")),
    );
  });

  test("stepped forward beyond a writer's memory takes its writes under a new name", async () => {
    await using primary = await open();
    await primary.add("");
    await primary.clock.step(3 * hour);
    expect(await primary.add("")).toMatchObject({ outcome: "applied", value: 2 });
    await primary.verify();
  });

  test("is followed by the heartbeat while every change goes out once", async () => {
    await using primary = await open();
    const { counts, clock } = primary;
    await using events = await startRedis();
    const bus = openBus(events.url, "clock step");
    await bus.start();
    const relay = createOutboxRelay({
      store: counts.store,
      layout: () => counts.writer.layout(),
      broker: bus,
      leases: bus.leases,
      clock: systemClock,
      random: systemRandom,
      log: silent,
      metrics: createMetrics(),
    });
    await relay.start();
    for (const [number, step] of [0, -hour, hour, hour, -hour].entries()) {
      await clock.step(step);
      await primary.add(`request-${number}`);
      await eventually(async () => {
        const beatMs = Number(await counts.store.client.get(keysOf(0).heartbeat));
        expect(Math.abs((await timeMs(counts)) - beatMs)).toBeLessThan(60_000);
        expect(await relay.read()).toEqual({ depth: 0, ageMs: 0, bytes: 0, parked: 0 });
      });
    }
    await relay.stop();
    await bus.stop();
  });
});
