import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { CountInfoSchema } from "../../../gen/muin/count/v1/count_pb.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import type { InfoCacheStore, VersionedInfo } from "./store.ts";

/** Holds the name of the generation of what is cached now, a part of each key. A new name empties the cache: old keys end by themselves. */
const generationKey = "count-read:info-generation";

/** Patterns of the keys that it uses. */
export const cacheKeys: readonly string[] = ["count-read:info:2:*", generationKey];

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
export function createRedisInfoCache({ client }: RedisStore, random: Pick<Random, "uuid">): InfoCacheStore {
  let known: string | undefined;
  const keyOf = (countId: string): string => `count-read:info:2:${known}:${countId}`;
  /** Notes the generation of now; begins one where the server has none, or no longer. */
  const look = async (): Promise<void> => {
    await client.set(generationKey, random.uuid(), "NX");
    known = (await client.get(generationKey)) ?? undefined;
  };

  return {
    read: async (countIds) => {
      const readAsKnown = () => client.mgetBuffer(generationKey, ...countIds.map(keyOf));
      let [generation, ...values] = await readAsKnown();
      if (known === undefined || generation?.toString() !== known) {
        await look();
        [generation, ...values] = await readAsKnown();
      }
      const isCurrent = known !== undefined && generation?.toString() === known;
      return values.map((value) => (value === null || !isCurrent ? undefined : decode(value)));
    },
    keepNewest: async (infos, lifeMs) => {
      if (known === undefined) await look();
      await keepNewestScript.run(
        client,
        infos.map(({ info }) => keyOf(info.countId)),
        [lifeMs, ...infos.map(encode)],
      );
    },
    empty: async () => {
      await client.set(generationKey, random.uuid());
    },
  };
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
