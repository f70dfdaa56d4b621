import { CountsChangedSchema } from "../../../gen/muin/count/v1/count_value_events_pb.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { resourceErrors } from "../../../platform/resource/errors.ts";
import type { OutboxView, ParkedEvent } from "../../../platform/service/outbox-view.ts";
import type { CountStoreLayout } from "../../shared/count-store.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { eventId, topic } from "../events.ts";

/** That a shard of the outbox waits, and why. */
export interface ParkedShard {
  /** The entry that cannot be published. Those behind it wait. */
  readonly entryId: string;
  readonly reason: string;
  /** How often it was refused. */
  readonly attempts: number;
  /** When it was refused last, in milliseconds since the Unix epoch. */
  readonly parkTimeMs: number;
}

/** A place in the outbox as `parked` takes it: shard and entry. */
const placeForm = /^(\d{1,2}):(\d{1,20}-\d{1,20})$/;

/** Marks a shard as parked. */
export async function writeMark({ client }: RedisStore, shard: number, mark: ParkedShard): Promise<void> {
  const { entryId, reason, attempts, parkTimeMs } = mark;
  await client.hset(keysOf(shard).parked, { entry: entryId, reason, attempts, time_ms: parkTimeMs });
}

/** Marks a shard as no longer parked. */
export async function clearMark({ client }: RedisStore, shard: number): Promise<void> {
  await client.unlink(keysOf(shard).parked);
}

/** Reads which of so many shards are parked. */
export async function readMarks({ client }: RedisStore, shards: number): Promise<ReadonlyMap<number, ParkedShard>> {
  const found = await Promise.all(Array.from({ length: shards }, (_, shard) => client.hgetall(keysOf(shard).parked)));
  const marks = new Map<number, ParkedShard>();
  for (const [shard, { entry: entryId, reason = "", attempts, time_ms }] of found.entries()) {
    if (entryId === undefined) continue;
    marks.set(shard, { entryId, reason, attempts: Number(attempts), parkTimeMs: Number(time_ms) });
  }
  return marks;
}

/** The parked entries as operators see them, and give them back by removing marks: the relay looks once a second. */
export function createParkedView(
  store: RedisStore,
  layout: () => CountStoreLayout | undefined,
): Pick<OutboxView, "parked" | "redrive"> {
  return {
    parked: async (after, limit) => {
      const known = layout();
      const [, shard = "0", entryId = ""] = placeForm.exec(after) ?? [];
      if (after !== "" && entryId === "") throw resourceErrors.pageTokenInvalid();
      return known === undefined ? [] : listParked(store, known, { shard: Number(shard), entryId, limit });
    },
    redrive: async (subject) => {
      const known = layout();
      if (known === undefined) return 0;
      let redriven = 0;
      for (const shard of (await readMarks(store, known.shards)).keys()) {
        if (subject !== undefined && subject !== shard.toString()) continue;
        redriven += await store.client.xlen(keysOf(shard).outbox);
        await clearMark(store, shard);
      }
      return redriven;
    },
  };
}

async function listParked(
  store: RedisStore,
  { storeId, shards }: CountStoreLayout,
  from: { readonly shard: number; readonly entryId: string; readonly limit: number },
): Promise<readonly ParkedEvent[]> {
  const events: ParkedEvent[] = [];
  for (const [shard, mark] of await readMarks(store, shards)) {
    const limit = from.limit - events.length;
    if (shard < from.shard || limit <= 0) continue;
    const start = shard === from.shard && from.entryId !== "" ? `(${from.entryId}` : "-";
    const entries = await store.client.xrangeBuffer(keysOf(shard).outbox, start, "+", "COUNT", limit);
    for (const [idBytes] of entries) {
      const entryId = idBytes.toString();
      const isRefused = entryId === mark.entryId;
      events.push({
        place: `${shard}:${entryId}`,
        id: eventId(storeId, shard.toString(), entryId),
        type: CountsChangedSchema.typeName,
        topic,
        subject: shard.toString(),
        reason: isRefused ? mark.reason : "",
        attempts: isRefused ? mark.attempts : 0,
        parkTimeMs: mark.parkTimeMs,
      });
    }
  }
  return events;
}
