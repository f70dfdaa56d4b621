import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import { keysOf } from "../../shared/key-schema.ts";

/** Writes the primary's heartbeat, its own Redis TIME, to each of its shards. A replica shows by it how new its values are. */
export async function beat(store: RedisStore, shards: number): Promise<void> {
  await Promise.all(
    Array.from({ length: shards }, (_, shard) => heartbeatScript.run(store.client, [keysOf(shard).heartbeat], [])),
  );
}

const heartbeatScript = defineScript<Buffer>({
  name: "heartbeat",
  keys: 1,
  lua: `
local clock = redis.call('TIME')
return redis.call('SET', KEYS[1], string.format('%.0f', clock[1] * 1000 + math.floor(clock[2] / 1000)))
`,
});
