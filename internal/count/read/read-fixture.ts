import { join } from "node:path";
import type { Migration } from "../../platform/postgres/database.ts";
import { createClient, type Client } from "@connectrpc/connect";
import type { CountInfo } from "../../gen/muin/count/v1/count_pb.ts";
import { CountCreatedSchema } from "../../gen/muin/count/v1/count_info_events_pb.ts";
import { CountReadService } from "../../gen/muin/count/v1/count_read_service_pb.ts";
import { create } from "@bufbuild/protobuf";
import type { Component } from "../../platform/lifecycle/component.ts";
import type { Handled, Served } from "../../platform/service/parts.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { migrate } from "../../platform/postgres/migrate.ts";
import { openDatabase, openReadOnlyDatabase, type OpenDatabase } from "../../platform/postgres/open-database.ts";
import { openRedis, openRedisReader, type OpenRedis } from "../../platform/redis/open-redis.ts";
import { planMethods } from "../../platform/rpc/call/plan.ts";
import { createLocalLane } from "../../platform/rpc/local/lane.ts";
import { createMetrics } from "../../platform/telemetry/create-metrics.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { expect } from "bun:test";
import type { ReadOnlyDatabase } from "../../platform/postgres/database.ts";
import type { RedisReader } from "../../platform/redis/redis-store.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { startPostgres, type TestPostgres } from "../../platform/testing/postgres.ts";
import { startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import type { SteppableClock } from "../../platform/testing/steppable-clock.ts";
import { createCountStates, type CountStates } from "../shared/count-states.ts";
import { recordLayout, type CountStoreLayout } from "../shared/count-store.ts";
import { keysOf } from "../shared/key-schema.ts";
import { countRead } from "./definition.ts";

/** count-read on a counts primary with a real replica, a cache Redis and a PostgreSQL with CountInfoDB's view. */
export interface ReadFixture extends AsyncDisposable {
  readonly primary: TestRedis;
  readonly replica: TestRedis;
  readonly cache: TestRedis;
  readonly postgres: TestPostgres;
  readonly layout: CountStoreLayout;
  /** Writes to the primary. */
  readonly counts: OpenRedis;
  readonly states: CountStates;
  /** CountInfoDB as its owner. */
  readonly info: OpenDatabase;
  readonly client: Client<typeof CountReadService>;
  /** What the service reads from. */
  readonly stores: {
    readonly primary: RedisReader;
    readonly replica: RedisReader;
    readonly cache: OpenRedis;
    readonly info: ReadOnlyDatabase;
  };
  /** Hands an event to the service. */
  deliver(info: CountInfo, version: number, epoch?: number): Promise<void>;
  /** Writes the primary's heartbeat as count-write does, or did `ageMs` ago; resolves with its time once the replica has it. */
  beat(ageMs?: number): Promise<number>;
  /** A Count in both stores. */
  addCount(countId: string, value: number, displayName?: string): Promise<void>;
  /** Changes metadata in CountInfoDB alone. */
  setInfo(countId: string, displayName: string, version: number, state?: string): Promise<void>;
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
/** The schema of CountInfoDB, whose owner's code is not for other services. */
async function countInfoMigrations(): Promise<readonly Migration[]> {
  const folder = Bun.fileURLToPath(new URL("../management/migrations", import.meta.url));
  const files = (await Array.fromAsync(new Bun.Glob("*.sql").scan(folder))).toSorted();
  return Promise.all(
    files.map(async (file) => ({
      name: file.replace(/\.sql$/, ""),
      sql: await Bun.file(join(folder, file)).text(),
    })),
  );
}

const configDefault = { infoLifeMs: 60_000, cachedCountsMax: 1000, sideStoreTimeoutMs: 300 };

/** Starts it, the primary by `clock` where one is given. Nothing writes heartbeats but `beat`. */
export async function startReading(
  config: Partial<typeof configDefault> = {},
  clock?: SteppableClock,
): Promise<ReadFixture> {
  const [primary, cache, postgres] = await Promise.all([
    startRedis({
      appendfsync: "no",
      args: ["--repl-diskless-sync-delay", "0"],
      ...(clock === undefined ? {} : { clock }),
    }),
    startRedis({ appendfsync: "no" }),
    startPostgres(),
  ]);
  const replica = await startRedis({
    appendfsync: "no",
    args: ["--replicaof", `${primary.host} ${primary.port}`, "--masterauth", primary.password],
  });
  const url = await postgres.createDatabase("count_info");
  await migrate({ url, migrations: await countInfoMigrations(), log: silent });
  const counts = openRedis({ url: primary.url, name: "writer" });
  const info = openDatabase({ url, applicationName: "owner" });
  const stores = {
    primary: openRedisReader({ url: primary.url, name: "primary" }),
    replica: openRedisReader({ url: replica.url, name: "replica" }),
    cache: openRedis({ url: cache.url, name: "cache" }),
    info: openReadOnlyDatabase({ url, applicationName: "reader" }),
  };
  const opened: readonly Component[] = [counts, info, ...Object.values(stores)];
  await Promise.all(opened.map((component) => component.start()));
  const layout = await recordLayout(counts, { shards: 2, random: systemRandom });
  const parts = countRead.create({
    calls: {},
    stores: stores as never, // Typed by the declaration.
    publish: undefined as never, // It publishes nothing.
    broker: { publish: () => Promise.reject(new Error("not used")) },
    leases: { leaseholder: () => ({ name: "none", start: async () => {}, stop: async () => {} }) },
    config: { ...configDefault, ...config },
    clock: systemClock,
    random: systemRandom,
    log: silent,
    metrics: createMetrics(),
  });
  const served = parts.filter((part): part is Served => part.part === "served");
  const consumer = parts.find((part): part is Handled => part.part === "handled");
  const states = createCountStates(counts, { outboxBytesMax: 256 * 1024 * 1024 });
  return {
    primary,
    replica,
    cache,
    postgres,
    layout,
    counts,
    states,
    info,
    stores,
    client: createClient(
      CountReadService,
      createLocalLane(planMethods(served), {
        observer: { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) },
        log: silent,
      })({ kind: "api_key", id: "t", principal: "api_key:t", scopes: new Set(["counts.read"]) }),
    ),
    deliver: async (countInfo, version, epoch = 0) => {
      const event = create(CountCreatedSchema, {
        countId: countInfo.countId,
        countInfo,
        aggregateVersion: BigInt(version),
      });
      await consumer?.handle(event, { record: { epoch } } as never); // Nothing else is looked at.
    },
    beat: async (ageMs = 0) => {
      const [seconds, micros] = await counts.client.time();
      const beatMs = Number(seconds) * 1000 + Math.floor(Number(micros) / 1000) - ageMs;
      for (let shard = 0; shard < layout.shards; shard += 1) await counts.client.set(keysOf(shard).heartbeat, beatMs);
      await eventually(async () => {
        for (let shard = 0; shard < layout.shards; shard += 1) {
          expect(await stores.replica.client.get(keysOf(shard).heartbeat)).toBe(`${beatMs}`);
        }
      });
      return beatMs;
    },
    addCount: async (countId, value, displayName = "") => {
      await info.sql`
        INSERT INTO count_info (count_id, display_name, labels, state, version, info_revision, create_time, update_time)
        VALUES (${countId}, ${displayName}, '{}', 'ACTIVE', 1, 1, now(), now())`;
      await states.create({ countId, infoRevision: 1, initialValue: value });
      await states.activate({ countId, infoRevision: 1 });
    },
    setInfo: async (countId, displayName, version, state = "ACTIVE") => {
      await info.sql`
        UPDATE count_info SET display_name = ${displayName}, version = ${version}, info_revision = ${version}, state = ${state}
        WHERE count_id = ${countId}`;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(opened.map((component) => component.stop()));
      await Promise.all([primary.stop(), replica.stop(), cache.stop(), postgres.stop()]);
    },
  };
}
