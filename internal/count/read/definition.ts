import {
  CountCreatedSchema,
  CountDeletedSchema,
  CountUpdatedSchema,
} from "../../gen/muin/count/v1/count_info_events_pb.ts";
import { CountReadService } from "../../gen/muin/count/v1/count_read_service_pb.ts";
import { everyInstance } from "../../platform/service/consumption.ts";
import { defineService, type ServiceInfo } from "../../platform/service/define-service.ts";
import { background, on, rebuilder, serve } from "../../platform/service/parts.ts";
import { postgresViews, redis } from "../../platform/service/stores.ts";
import { createClockSampler } from "./value/clock-sampler.ts";
import { countReadConfig } from "./config.ts";
import { countReadErrors } from "./errors.ts";
import { createCountReader } from "./value/reader.ts";
import { onInfoEvent } from "./events.ts";
import { createHandlers } from "./handlers.ts";
import { createInfoCache } from "./info/cache.ts";
import { createPrimaryClock } from "./value/primary-clock.ts";
import { createPostgresInfoView } from "./info/store-postgres.ts";
import { cacheKeys, createRedisInfoCache } from "./info/store-redis.ts";
import { createPrimarySource, createReplicaSource } from "./value/source.ts";

/** What is read of the counts stores. */
const countKeys = ["count:store", "count:{*}:states", "count:{*}:heartbeat"];

/** Reads values with their metadata, from caches and a replica where the allowed staleness permits. */
export const countRead: ServiceInfo<"count-read"> = defineService({
  name: "count-read",
  summary: "Reads values with their metadata, from caches and a replica where the allowed staleness permits.",
  serves: [CountReadService],
  hot: [CountReadService.method.getCount, CountReadService.method.batchGetCounts],
  calls: {},
  stores: {
    primary: redis("counts", "read-only", { keys: countKeys }),
    replica: redis("counts", "read-only", { keys: countKeys, role: "replica" }),
    cache: redis("cache", "read-write", { keys: cacheKeys, durability: "cache" }),
    info: postgresViews({ database: "count_info", views: ["count_info_v1"] }),
  },
  publishes: [],
  consumes: [everyInstance(CountCreatedSchema), everyInstance(CountUpdatedSchema), everyInstance(CountDeletedSchema)],
  config: countReadConfig,
  errors: countReadErrors.table,
  personalData: "none",
  create: ({ stores, config, clock, random }) => {
    const primaryClock = createPrimaryClock(clock);
    const readPrimary = createPrimarySource(stores.primary, { clock, primaryClock });
    const infos = createInfoCache({
      view: createPostgresInfoView(stores.info),
      store: createRedisInfoCache(stores.cache, random),
      clock,
      lifeMs: config.infoLifeMs,
      storeTimeoutMs: config.sideStoreTimeoutMs,
      cachedMax: config.cachedCountsMax,
    });
    const reader = createCountReader({
      readPrimary,
      readReplica: createReplicaSource(stores.replica, { clock, primaryClock }),
      infos,
      clock,
      replicaTimeoutMs: config.sideStoreTimeoutMs,
      cachedMax: config.cachedCountsMax,
    });
    const caches = { infos, reader };
    return [
      serve(CountReadService, createHandlers({ reader })),
      on(CountCreatedSchema, (event, delivery) => onInfoEvent(caches, event, delivery)),
      on(CountUpdatedSchema, (event, delivery) => onInfoEvent(caches, event, delivery)),
      on(CountDeletedSchema, (event, delivery) => onInfoEvent(caches, event, delivery)),
      rebuilder([CountCreatedSchema, CountUpdatedSchema, CountDeletedSchema], async () => {
        reader.forget(undefined);
        await infos.forgetAll();
      }),
      background(createClockSampler(readPrimary, clock)),
    ];
  },
});
