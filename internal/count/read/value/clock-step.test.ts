import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Redis } from "ioredis";
import { CountSource } from "../../../gen/muin/count/v1/count_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import {
  createSteppableClock,
  lacksSteppableClock,
  type SteppableClock,
} from "../../../platform/testing/steppable-clock.ts";
import { createPrimaryClock } from "./primary-clock.ts";
import { startReading, type ReadFixture } from "../read-fixture.ts";
import { createPrimarySource, createReplicaSource } from "./source.ts";

const hour = 3600;

describe.skipIf(lacksSteppableClock)("the primary's clock (skipped without libfaketime)", () => {
  let clock: SteppableClock;
  let service: ReadFixture;
  beforeAll(async () => {
    clock = await createSteppableClock();
    service = await startReading({ sideStoreTimeoutMs: 10_000 }, clock); // A slow replica is no reason to ask the primary.
  }, 60_000);
  afterAll(async () => {
    await service[Symbol.asyncDispose]();
    await clock[Symbol.asyncDispose]();
  });

  let ids = 0;
  /** Reads a Count that nothing remembers, by the replica where that is fresh enough. */
  const readNew = async (stalenessSeconds: number) => {
    const countId = `step${(ids += 1)}`;
    await service.addCount(countId, ids);
    const heartbeatMs = await service.beat();
    const { count } = await service.client.getCount({ countId, maxStaleness: { seconds: BigInt(stalenessSeconds) } });
    expect(count?.value?.value).toBe(BigInt(ids));
    const asOf = count?.asOf;
    if (asOf === undefined) throw new Error("a Count without as_of");
    return { source: count?.source, follows: Math.abs(timestampMs(asOf) - heartbeatMs) < 60_000 };
  };

  test("is followed by as_of, whichever way it steps", async () => {
    const fromReplica = { source: CountSource.REPLICA, follows: true };
    const fromPrimary = { source: CountSource.PRIMARY, follows: true };
    await readNew(0);
    expect(await readNew(60)).toEqual(fromReplica);
    await clock.step(hour);
    expect(await readNew(60)).toEqual(fromPrimary); // The heartbeat lies ahead of all that was seen.
    expect(await readNew(60)).toEqual(fromReplica);
    await clock.step(-hour);
    expect(await readNew(60)).toEqual(fromPrimary); // The heartbeat looks an hour old.
    expect(await readNew(60)).toEqual(fromPrimary); // It may be from before the step.
    await clock.step(2 * hour);
    expect(await readNew(60)).toEqual(fromPrimary);
    expect(await readNew(60)).toEqual(fromReplica);
  });

  /** When, at the latest, a replica says its value is of, that was cut off before the primary's clock went back. */
  const freshOf = async (
    create: typeof createPrimaryClock,
  ): Promise<{ readonly cutAt: number; readonly at: number }> => {
    const deps = { clock: systemClock, primaryClock: create(systemClock) };
    const look = createPrimarySource(service.stores.primary, deps);
    const readReplica = createReplicaSource(service.stores.replica, deps);
    await look([]);
    await service.beat();
    const cutAt = systemClock.monotonic();
    const { replica, primary } = service;
    await using admin = await adminOf(replica.url);
    await admin.redis.call("REPLICAOF", "NO", "ONE");
    await clock.step(-hour);
    await look([]);
    const [value] = await readReplica(["any"]);
    await admin.redis.call("REPLICAOF", primary.host, `${primary.port}`);
    return { cutAt, at: value?.freshAt ?? Number.NaN };
  };

  test("stepped back does not make a replica that was cut off before look fresh", async () => {
    const { cutAt, at } = await freshOf(createPrimaryClock);
    expect(at).toBeLessThanOrEqual(cutAt);
    type Module = { readonly createPrimaryClock: typeof createPrimaryClock };
    const path = join(import.meta.dir, "primary-clock.ts");
    const mutant = await importMutant<Module>(
      path,
      "return ageMs < 0 || heartbeatMs <= doubtfulMs ? Number.POSITIVE_INFINITY : ageMs;",
      "return Math.max(0, ageMs);",
    );
    const unnoticed = await freshOf(mutant.createPrimaryClock);
    expect(unnoticed.at).toBeGreaterThan(unnoticed.cutAt);
  });
});

async function adminOf(url: string) {
  const redis = new Redis(url);
  return { redis, [Symbol.asyncDispose]: () => Promise.resolve(redis.disconnect()) };
}
