import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { CountInfoSchema } from "../../../gen/muin/count/v1/count_pb.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import type { InfoCacheStore, VersionedInfo } from "./store.ts";

/** Pattern of the keys that it uses. */
export const cacheKeys = "count-read:info:2:*";

/** Bytes of epoch and version before the metadata: two float64, little-endian. */
const versionBytes = 16;

/**
 * A cached value is its epoch and its version as little-endian float64, then the metadata in protobuf binary. The comparison and the write
 * are one step: what an event brought is never overwritten by what was read before it.
 */
const keepNewestScript = defineScript<null>({
  name: "count-read-keep-newest",
  keys: "any",
  lua: `
for i, key in ipairs(KEYS) do
  local known = redis.call('GETRANGE', key, 0, ${versionBytes - 1})
  local epoch, version = struct.unpack('<dd', ARGV[i + 1])
  local known_epoch, known_version = -1, 0
  if #known == ${versionBytes} then known_epoch, known_version = struct.unpack('<dd', known) end
  if known_epoch < epoch or known_epoch == epoch and known_version < version then
    redis.call('SET', key, ARGV[i + 1], 'PX', ARGV[1])
  end
end
return nil`,
});

/** Metadata in the cache Redis. */
export function createRedisInfoCache(store: RedisStore): InfoCacheStore {
  return {
    read: async (countIds) => {
      const values = await store.client.mgetBuffer(...countIds.map(keyOf));
      return values.map((value) => (value === null ? undefined : decode(value)));
    },
    keepNewest: async (infos, lifeMs) => {
      await keepNewestScript.run(
        store.client,
        infos.map(({ info }) => keyOf(info.countId)),
        [lifeMs, ...infos.map(encode)],
      );
    },
  };
}

function keyOf(countId: string): string {
  return `count-read:info:2:${countId}`;
}

function encode({ info, epoch, version }: VersionedInfo): Buffer {
  const head = Buffer.alloc(versionBytes);
  head.writeDoubleLE(epoch, 0);
  head.writeDoubleLE(version, 8);
  return Buffer.concat([head, toBinary(CountInfoSchema, info)]);
}

function decode(value: Buffer): VersionedInfo {
  return {
    epoch: value.readDoubleLE(0),
    version: value.readDoubleLE(8),
    info: fromBinary(CountInfoSchema, value.subarray(versionBytes)),
  };
}
