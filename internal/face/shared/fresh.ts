import type { RedisReader, RedisStore } from "../../platform/redis/redis-store.ts";
import { freshKey } from "./key-schema.ts";

/**
 * A face Redis that was started again may have been given an old file, in which people stand who were erased since. mlops therefore replays its
 * erasures after every start of it, and then names the Redis process for which it has. Whoever looks up a face holds that mark against
 * the process that answers: a store for which they differ is not fresh, and opens no door.
 */
export async function markFresh(store: RedisStore, runId: string): Promise<void> {
  await store.client.set(freshKey, runId);
}

/** Names the Redis process that answers now: another one after each start. To be read before the erasures are replayed. */
export async function readRunId(store: RedisStore | RedisReader): Promise<string> {
  return runIdOf(await store.client.info("server"));
}

/** The run id in what `INFO server` answers. Throws when there is none. */
export function runIdOf(info: string): string {
  const runId = /^run_id:([0-9a-f]{40})\r?$/m.exec(info)?.[1];
  if (runId === undefined) throw new Error("the face Redis does not name its process");
  return runId;
}
