import { systemRandom } from "../../../platform/clock/random.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { startRedis } from "../../../platform/testing/redis.ts";
import { createRedisInfoCache } from "./store-redis.ts";
import { describeInfoCacheStore } from "./store.contract.ts";

describeInfoCacheStore("Redis", async () => {
  const server = await startRedis({ appendfsync: "no" });
  const store = openRedis({ url: server.url, name: "test" });
  await store.start();
  return {
    cache: createRedisInfoCache(store, systemRandom),
    other: createRedisInfoCache(store, systemRandom),
    [Symbol.asyncDispose]: async () => {
      await store.stop();
      await server.stop();
    },
  };
});
