import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { CountStates } from "../../shared/count-states.ts";
import { readLayout, type CountStoreLayout } from "../../shared/count-store.ts";
import { keysOf, shardOf } from "../../shared/key-schema.ts";
import { outboxBytes } from "../../shared/shard-meta.ts";
import type { Mutation } from "./plan.ts";
import type { Decision } from "./rules.ts";
import { countManagementErrors } from "../errors.ts";
import type { CountChange } from "./store.ts";

/** Room in a shard's outbox that a creation must find, in bytes: more than its event takes. */
const creationBytes = 1024;

/**
 * Makes the check that comes before a mutation is accepted: that the counts store answers, and has room for the event of a
 * creation. Rejects with UNAVAILABLE or RESOURCE_EXHAUSTED.
 */
export function createAdmission(
  store: RedisStore,
  { outboxBytesMax }: { readonly outboxBytesMax: number },
): (mutation: Mutation) => Promise<void> {
  let layout: CountStoreLayout | undefined;
  return async ({ operation, countId }) => {
    let meta: Buffer | null;
    try {
      layout ??= await readLayout(store);
      meta = await store.client.getBuffer(keysOf(shardOf(countId, layout.shards)).meta);
    } catch (error) {
      throw countManagementErrors.countsUnavailable({ cause: error });
    }
    if (operation === "CREATE" && outboxBytes(meta) + creationBytes > outboxBytesMax)
      throw countManagementErrors.outboxFull();
  };
}

/** Opens a Count for writes, once its creation is known. Rejects when the outcome could not be learned. */
export async function activateInCountsStore(
  states: CountStates,
  { countId, infoRevision }: Pick<CountChange, "countId" | "infoRevision">,
): Promise<void> {
  const { outcome } = await states.activate({ countId, infoRevision });
  // "stale": a later change followed, which comes only once it is open.
  if (outcome === "not_found") throw new Error(`the counts store has lost ${countId}, which it had created`);
}

/** Has the counts store decide a change. Rejects when its outcome could not be learned. */
export async function decideInCountsStore(states: CountStates, change: CountChange): Promise<Decision> {
  const { countId, infoRevision, content } = change;
  const key = { countId, infoRevision };
  const bounds = { minValue: toNumber(content.minValue), maxValue: toNumber(content.maxValue) };
  const result = await (() => {
    switch (change.operation) {
      case "CREATE":
        return states.create({ ...key, ...bounds, initialValue: Number(change.initialValue) });
      case "UPDATE":
        return states.setBounds({ ...key, ...bounds });
      case "DELETE":
        return states.remove(key);
      case "UNDELETE":
        return states.restore(key);
    }
  })();
  switch (result.outcome) {
    case "applied":
    case "repeated":
      return {
        kind: "applied",
        value: BigInt(result.value),
        revision: BigInt(result.revision),
        updateTimeMs: result.updateTimeMs,
      };
    case "out_of_range":
      return { kind: "out_of_range", value: BigInt(result.value) };
    case "stale":
    case "not_found":
      // Somebody finished this change and a later one followed; or one of the two stores was restored from a backup.
      throw new Error(`the counts store answers ${result.outcome} for ${countId} at info revision ${infoRevision}`);
  }
}

function toNumber(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
