import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { Code, ConnectError } from "@connectrpc/connect";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { CountSource, type Count } from "../../../gen/muin/count/v1/count_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { keysOf, shardOf } from "../../shared/key-schema.ts";
import { createCountReader, type CountReader } from "./reader.ts";
import { createInfoCache } from "../info/cache.ts";
import { createPrimaryClock } from "./primary-clock.ts";
import { startReading, type ReadFixture } from "../read-fixture.ts";
import { createPostgresInfoView } from "../info/store-postgres.ts";
import { createRedisInfoCache } from "../info/store-redis.ts";
import { createPrimarySource, createReplicaSource } from "./source.ts";

/** Patience with the replica and the cache: longer than a busy machine holds them up, and waited for where they are stopped. */
const sideStoreTimeoutMs = 1000;

let service: ReadFixture;
beforeAll(async () => {
  service = await startReading({ sideStoreTimeoutMs });
}, 60_000);
afterAll(() => service[Symbol.asyncDispose]());

let ids = 0;
const newId = (): string => `r${(ids += 1)}`;
const seconds = (value: number) => ({ seconds: BigInt(value) });

/** "value@source", or the code and reason that a read was refused with. */
async function read(countId: string, staleness?: number): Promise<string> {
  try {
    const { count } = await service.client.getCount({
      countId,
      ...(staleness === undefined ? {} : { maxStaleness: seconds(staleness) }),
    });
    return shown(count);
  } catch (error) {
    const [info] = ConnectError.from(error).findDetails(ErrorInfoSchema);
    return `${Code[ConnectError.from(error).code]} ${info?.reason}`;
  }
}
function shown(count: Count | undefined): string {
  const source = Object.entries(CountSource).find(([, value]) => value === count?.source)?.[0];
  return `${count?.value?.value} ${count?.info?.displayName} ${source}`;
}
/** Adds to a Count on the primary, as count-write does. */
async function setValue(countId: string, value: number): Promise<void> {
  const key = keysOf(shardOf(countId, service.layout.shards)).states;
  const bytes = (await service.counts.client.hgetBuffer(key, countId)) as Buffer;
  bytes.writeDoubleLE(value, 1);
  bytes.writeDoubleLE(bytes.readDoubleLE(9) + 1, 9);
  await service.counts.client.hset(key, countId, bytes);
}

describe("a read", () => {
  test("with max_staleness 0 sees every write before it", async () => {
    const countId = newId();
    await service.addCount(countId, 0, "n");
    for (let value = 1; value <= 100; value += 1) {
      await setValue(countId, value);
      expect(await read(countId, 0)).toBe(`${value} n PRIMARY`);
    }
  });

  test("takes the replica, as new as the heartbeat that came with it, then the cache", async () => {
    const countId = newId();
    await service.addCount(countId, 7, "n");
    const beatMs = await service.beat();
    const { count: first } = await service.client.getCount({ countId, maxStaleness: seconds(60) });
    expect(shown(first)).toBe("7 n REPLICA");
    expect(first?.asOf === undefined ? 0 : timestampMs(first.asOf)).toBe(beatMs);
    await setValue(countId, 8);
    const { count: second } = await service.client.getCount({ countId, maxStaleness: seconds(60) });
    expect(shown(second)).toBe("7 n CACHE");
    expect(second?.asOf).toEqual(first?.asOf as never);
  });

  test("goes to the primary when the replica is older than allowed", async () => {
    const countId = newId();
    await service.addCount(countId, 7, "n");
    await service.beat(5000);
    expect(await read(countId, 4)).toBe("7 n PRIMARY");
    const other = newId();
    await service.addCount(other, 8, "n");
    await service.beat(5000);
    expect(await read(other, 60)).toBe("8 n REPLICA");
    expect(await read(other, 4)).toBe("8 n PRIMARY");
    // What the primary said is the newest that is remembered.
    expect(await read(other, 4)).toBe("8 n CACHE");
  });

  test("tells unknown, deleted and half made Counts apart", async () => {
    const [deleted, pending, unopened] = [newId(), newId(), newId()];
    await service.addCount(deleted, 1);
    await service.states.remove({ countId: deleted, infoRevision: 2 });
    await service.addCount(pending, 1);
    await service.info.sql`UPDATE count_info SET state = 'PENDING' WHERE count_id = ${pending}`;
    // As between the commit that announces a Count and the step that opens it for writes.
    await service.states.create({ countId: unopened, infoRevision: 1, initialValue: 1 });
    await service.info.sql`
      INSERT INTO count_info (count_id, display_name, labels, state, version, info_revision, create_time, update_time)
      VALUES (${unopened}, '', '{}', 'ACTIVE', 1, 1, now(), now())`;
    for (const staleness of [0, 60]) {
      expect(await read(unopened, staleness)).toBe("NotFound COUNT_NOT_FOUND");
      expect(await read("unknown", staleness)).toBe("NotFound COUNT_NOT_FOUND");
      expect(await read(pending, staleness)).toBe("NotFound COUNT_NOT_FOUND");
      expect(await read(deleted, staleness)).toBe("FailedPrecondition COUNT_DELETED");
    }
    await service.states.activate({ countId: unopened, infoRevision: 1 });
    expect(await read(unopened, 0)).toBe("1  PRIMARY");
  });

  test("never hides a Count that was just created from who asks for the newest, nor longer than the staleness allows", async () => {
    const countId = newId();
    await service.beat();
    expect(await read(countId)).toBe("NotFound COUNT_NOT_FOUND");
    expect(await read(countId, 60)).toBe("NotFound COUNT_NOT_FOUND");
    await service.addCount(countId, 3, "n");
    expect(await read(countId, 60)).toBe("NotFound COUNT_NOT_FOUND");
    expect(await read(countId, 0)).toBe("3 n PRIMARY");
    const other = newId();
    expect(await read(other, 60)).toBe("NotFound COUNT_NOT_FOUND");
    await service.addCount(other, 4, "n");
    await eventually(async () => expect(await read(other, 1)).toStartWith("4 n"), { timeoutMs: 1500 });
  });

  test("shows a Count at once when its event has come", async () => {
    const countId = newId();
    expect(await read(countId, 60)).toBe("NotFound COUNT_NOT_FOUND");
    await service.addCount(countId, 3, "n");
    const { count } = await service.client.getCount({ countId, maxStaleness: seconds(0) });
    await service.deliver(count?.info as never, 1);
    expect(await read(countId, 60)).toStartWith("3 n");
  });

  test("shows new metadata as soon as the counts store carries its revision, whatever is cached", async () => {
    const countId = newId();
    await service.addCount(countId, 3, "old");
    expect(await read(countId, 0)).toBe("3 old PRIMARY");
    await service.setInfo(countId, "new", 2);
    expect(await read(countId, 0)).toBe("3 old PRIMARY");
    await service.states.setBounds({ countId, infoRevision: 2 });
    expect(await read(countId, 0)).toBe("3 new PRIMARY");
  });
});

describe("a batch", () => {
  test("keeps the order, names what is missing, and makes one trip per store", async () => {
    const made = [newId(), newId(), newId(), newId(), newId(), newId()];
    const [deleted = "", ...live] = made;
    for (const [index, countId] of made.entries()) await service.addCount(countId, index, "n");
    await service.states.remove({ countId: deleted, infoRevision: 2 });
    await service.beat();
    const countIds = ["nobody", ...live, deleted, ...live.toReversed()];
    const stats = async (url: "replica" | "cache", command: string): Promise<number> => {
      const text = String(await service.stores[url].client.call("info", "commandstats"));
      return Number(new RegExp(`cmdstat_${command}:calls=(\\d+)`).exec(text)?.[1] ?? 0);
    };
    const before = [await stats("replica", "hmget"), await stats("cache", "mget")];
    const reply = await service.client.batchGetCounts({ countIds, maxStaleness: seconds(60) });
    expect(reply.missingCountIds).toEqual(["nobody", deleted]);
    const values = [1, 2, 3, 4, 5, 5, 4, 3, 2, 1];
    expect(reply.counts.map(shown)).toEqual(values.map((value) => `${value} n REPLICA`));
    const after = [await stats("replica", "hmget"), await stats("cache", "mget")];
    // At most one HMGET a shard, in one pipeline; one MGET.
    expect((after[0] ?? 0) - (before[0] ?? 0)).toBeLessThanOrEqual(service.layout.shards);
    expect((after[1] ?? 0) - (before[1] ?? 0)).toBe(1);
    const again = await service.client.batchGetCounts({ countIds, maxStaleness: seconds(60) });
    expect(again.counts.map(shown)).toEqual(values.map((value) => `${value} n CACHE`));
    const newest = await service.client.batchGetCounts({ countIds, maxStaleness: seconds(0) });
    expect(newest.counts.map(shown)).toEqual(values.map((value) => `${value} n PRIMARY`));
    expect(newest.missingCountIds).toEqual(reply.missingCountIds);
  });
});

/** A reader on the real stores with caches of its own, made by a mutant where one is given. */
function createReader(create: typeof createCountReader = createCountReader): CountReader {
  const clock = systemClock;
  const primaryClock = createPrimaryClock(clock);
  return create({
    readPrimary: createPrimarySource(service.stores.primary, { clock, primaryClock }),
    readReplica: createReplicaSource(service.stores.replica, { clock, primaryClock }),
    infos: createInfoCache({
      view: createPostgresInfoView(service.stores.info),
      store: createRedisInfoCache(service.stores.cache, systemRandom),
      clock,
      lifeMs: 60_000,
      storeTimeoutMs: sideStoreTimeoutMs,
      cachedMax: 100,
    }),
    clock,
    replicaTimeoutMs: sideStoreTimeoutMs,
    cachedMax: 100,
  });
}

describe("memory", () => {
  test("answers at once, with the same reply while nothing changes", async () => {
    const countId = newId();
    await service.addCount(countId, 1);
    const reader = createReader();
    await reader.read(countId, 60_000);
    const count = reader.read(countId, 60_000);
    expect(count).not.toBeInstanceOf(Promise);
    expect(reader.read(countId, 60_000)).toBe(count);
  });

  test("keeps no more Counts than it may, and serves the others", async () => {
    const reader = createReader();
    const countIds = Array.from({ length: 150 }, newId);
    await Promise.all(countIds.map((countId, index) => service.addCount(countId, index)));
    for (const countId of countIds) await reader.read(countId, 60_000);
    const values = await reader.readAll(countIds, 60_000);
    expect(values.map((count) => Number(count?.value?.value))).toEqual(countIds.map((_, index) => index));
    expect(values.filter((count) => count?.source === CountSource.CACHE)).toHaveLength(100);
  });
});

const afterWrite = async (reader: CountReader, stalenessMs: number): Promise<number> => {
  const countId = newId();
  await service.addCount(countId, 1);
  await service.beat(5000);
  await reader.read(countId, 60_000);
  await setValue(countId, 2);
  return Number((await reader.read(countId, stalenessMs)).value?.value);
};

describe("mutant", () => {
  const path = join(import.meta.dir, "reader.ts");
  const mutantOf = async (from: string, to: string): Promise<CountReader> =>
    createReader(
      (await importMutant<{ createCountReader: typeof createCountReader }>(path, from, to)).createCountReader,
    );
  test("without the check of staleness an old value is found out", async () => {
    const mutant = await mutantOf("clock.monotonic() - value.freshAt <= maxStalenessMs", "true");
    expect([await afterWrite(createReader(), 4000), await afterWrite(mutant, 4000)]).toEqual([2, 1]);
  });

  test("without the exception for 0 an old value is found out", async () => {
    const mutant = await mutantOf("if (maxStalenessMs === 0) return undefined;", "maxStalenessMs ||= 60_000;");
    expect([await afterWrite(createReader(), 0), await afterWrite(mutant, 0)]).toEqual([2, 1]);
  });
});

describe("with a store away", () => {
  afterEach(async () => {
    for (const server of [service.primary, service.replica, service.cache]) await server.kill("SIGCONT");
    await eventually(async () => {
      await service.counts.client.ping();
      await service.stores.primary.client.time();
      await service.stores.replica.client.time();
      await service.stores.cache.client.ping();
      await service.stores.info.sql`SELECT 1`;
      expect(await service.stores.replica.client.call("info", "replication")).toContain("master_link_status:up");
    });
  }, 30_000);

  test("a replica that is stopped is passed over, and taken again when it is back", async () => {
    const countId = newId();
    await service.addCount(countId, 1, "n");
    await service.beat();
    await service.replica.kill("SIGSTOP");
    expect(await read(countId, 60)).toBe("1 n PRIMARY");
    await service.replica.kill("SIGCONT");
    await eventually(async () => {
      const other = newId();
      await service.addCount(other, 2, "n");
      await service.beat();
      expect(await read(other, 60)).toBe("2 n REPLICA");
    });
  }, 30_000);

  test("a replica that is cut off from the primary serves what is fresh enough, and no more", async () => {
    const countId = newId();
    await service.addCount(countId, 1, "n");
    await service.beat();
    const [host, port] = [service.primary.host, service.primary.port];
    await service.stores.replica.client.call("replicaof", "no", "one");
    await setValue(countId, 2);
    expect(await read(countId, 60)).toBe("1 n REPLICA");
    const fresh = await eventually(async () => {
      const { count } = await service.client.getCount({ countId, maxStaleness: seconds(1) });
      expect(count?.source).toBe(CountSource.PRIMARY);
      return count;
    });
    expect(shown(fresh)).toBe("2 n PRIMARY");
    await service.stores.replica.client.call("replicaof", host, port);
  }, 30_000);

  test("the primary away: the replica within the staleness allowed, else UNAVAILABLE", async () => {
    const [known, other] = [newId(), newId()];
    await service.addCount(known, 1, "n");
    await service.addCount(other, 2, "n");
    await service.beat();
    await service.primary.kill("SIGKILL");
    try {
      expect(await read(known, 60)).toBe("1 n REPLICA");
      expect(await read(known, 60)).toBe("1 n CACHE");
      expect(await read(other, 0)).toBe("Unavailable COUNTS_UNAVAILABLE");
      expect(await read("nobody", 60)).toBe("NotFound COUNT_NOT_FOUND");
      const batch = await service.client.batchGetCounts({ countIds: [known, other], maxStaleness: seconds(60) });
      expect(batch.counts.map(shown)).toEqual(["1 n CACHE", "2 n REPLICA"]);
    } finally {
      await service.primary.restart();
    }
    await eventually(async () => expect(await read(other, 0)).toBe("2 n PRIMARY"));
  }, 30_000);

  test("the cache Redis stopped or away: CountInfoDB answers", async () => {
    const [first, second] = [newId(), newId()];
    await service.addCount(first, 1, "n");
    await service.addCount(second, 2, "n");
    await service.cache.kill("SIGSTOP");
    expect(await read(first, 0)).toBe("1 n PRIMARY");
    await service.cache.kill("SIGKILL");
    expect(await read(second, 0)).toBe("2 n PRIMARY");
    await service.cache.restart();
  }, 30_000);

  test("PostgreSQL away: cached metadata, however old, else UNAVAILABLE", async () => {
    await using own = await startReading({ infoLifeMs: 100 });
    const ask = async (countId: string): Promise<string> => {
      try {
        return shown((await own.client.getCount({ countId, maxStaleness: seconds(0) })).count);
      } catch (error) {
        return ConnectError.from(error).findDetails(ErrorInfoSchema)[0]?.reason ?? String(error);
      }
    };
    await own.addCount("a", 1, "n");
    await own.addCount("b", 2, "n");
    expect(await ask("a")).toBe("1 n PRIMARY");
    await own.setInfo("a", "changed", 1);
    // A lost event heals: the metadata is read again when its life is over.
    await eventually(async () => expect(await ask("a")).toBe("1 changed PRIMARY"));
    await own.postgres.kill("SIGKILL");
    expect(await ask("b")).toBe("COUNT_INFO_UNAVAILABLE");
    expect(await ask("a")).toBe("1 changed PRIMARY");
    expect(await ask("nobody")).toBe("COUNT_NOT_FOUND");
    const batch = await own.client.batchGetCounts({ countIds: ["a", "nobody"], maxStaleness: seconds(0) });
    expect([batch.counts.map(shown), batch.missingCountIds]).toEqual([["1 changed PRIMARY"], ["nobody"]]);
  }, 30_000);
});
