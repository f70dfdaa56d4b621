import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Bounds, CountStates, StateChange } from "../../shared/count-states.ts";
import { readLayout, type CountStoreLayout } from "../../shared/count-store.ts";
import { keysOf, placesByShard, shardOf } from "../../shared/key-schema.ts";
import { outboxBytes } from "../../shared/shard-meta.ts";
import { countManagementErrors } from "../errors.ts";
import type { Applied, Decision } from "./change-result.ts";
import type { CountContent } from "./record.ts";
import type { CountChange } from "./store.ts";

/** Room in a shard's outbox that a creation must find, in bytes: more than its event takes. */
const creationBytes = 1024;

/** The check that comes before anything is accepted. */
export interface Admission {
  /** That the counts store answers, for a change of a Count. Rejects with UNAVAILABLE. */
  change(countId: string): Promise<void>;
  /**
   * That it answers and has room for the event of each creation. Gives, per Count, why it is not admitted: UNAVAILABLE or
   * RESOURCE_EXHAUSTED. Never rejects.
   */
  creations(countIds: readonly string[]): Promise<readonly (Error | undefined)[]>;
}

/** Makes the check on a counts store. */
export function createAdmission(store: RedisStore, { outboxBytesMax }: { readonly outboxBytesMax: number }): Admission {
  let layout: CountStoreLayout | undefined;
  /** The bytes in the outbox of each shard of these Counts. */
  const bytesOf = async (
    countIds: readonly string[],
  ): Promise<readonly { bytes: number; places: readonly number[] }[]> => {
    try {
      const { shards } = (layout ??= await readLayout(store));
      const byShard = placesByShard(countIds, (countId) => shardOf(countId, shards));
      return await Promise.all(
        Array.from(byShard, async ([shard, places]) => ({
          bytes: outboxBytes(await store.client.getBuffer(keysOf(shard).meta)),
          places,
        })),
      );
    } catch (error) {
      throw countManagementErrors.countsUnavailable({ cause: error });
    }
  };
  return {
    change: async (countId) => {
      await bytesOf([countId]);
    },
    creations: async (countIds) => {
      try {
        const refusals: (Error | undefined)[] = countIds.map(() => undefined);
        for (const { bytes, places } of await bytesOf(countIds)) {
          const room = Math.max(0, Math.floor((outboxBytesMax - bytes) / creationBytes));
          for (const place of places.slice(room)) refusals[place] = countManagementErrors.outboxFull();
        }
        return refusals;
      } catch (error) {
        return countIds.map(() => error as Error);
      }
    },
  };
}

/** Opens Counts for writes, once their creation is known. An Error stands where the outcome could not be learned. Never rejects. */
export async function activateInCountsStore(
  states: Pick<CountStates, "activateAll">,
  changes: readonly Pick<CountChange, "countId" | "infoRevision">[],
): Promise<readonly (Error | undefined)[]> {
  return eachOf(
    changes,
    () => states.activateAll(changes),
    ({ outcome }, { countId }) => {
      // "stale": a later change followed, which comes only once it is open.
      return outcome === "not_found"
        ? new Error(`the counts store has lost ${countId}, which it had created`)
        : undefined;
    },
  );
}

/** Has the counts store make Counts. An Error stands where the outcome could not be learned. Never rejects. */
export async function createInCountsStore(
  states: Pick<CountStates, "createAll">,
  changes: readonly CountChange[],
): Promise<readonly (Applied | Error)[]> {
  const creations = changes.map(({ countId, infoRevision, initialValue, content }) => ({
    countId,
    infoRevision,
    initialValue: Number(initialValue),
    ...boundsOf(content),
  }));
  return eachOf(
    changes,
    () => states.createAll(creations),
    (result, change) =>
      result.outcome === "applied" || result.outcome === "repeated" ? appliedOf(result) : unexpected(result, change),
  );
}

/** What came of each change; what made the step fail, for all. */
async function eachOf<C, R>(
  changes: readonly C[],
  step: () => Promise<readonly (StateChange | Error)[]>,
  resultOf: (result: StateChange, change: C) => R,
): Promise<readonly (R | Error)[]> {
  try {
    const results = await step();
    return results.map((result, place) => (result instanceof Error ? result : resultOf(result, changes[place] as C)));
  } catch (error) {
    return changes.map(() => (error instanceof Error ? error : new Error(String(error))));
  }
}

/** Has the counts store decide a change. Rejects when its outcome could not be learned. */
export async function decideInCountsStore(states: CountStates, change: CountChange): Promise<Decision> {
  const { countId, infoRevision, content } = change;
  const key = { countId, infoRevision };
  const result = await (() => {
    switch (change.operation) {
      case "CREATE":
        throw new Error("creations are decided together");
      case "UPDATE":
        return states.setBounds({ ...key, ...boundsOf(content) });
      case "DELETE":
        return states.remove(key);
      case "UNDELETE":
        return states.restore(key);
    }
  })();
  switch (result.outcome) {
    case "applied":
    case "repeated":
      return appliedOf(result);
    case "out_of_range":
      return { kind: "out_of_range", value: BigInt(result.value) };
    case "stale":
    case "not_found":
      throw unexpected(result, change);
  }
}

function appliedOf({ value, revision, updateTimeMs }: StateChange): Applied {
  return { kind: "applied", value: BigInt(value), revision: BigInt(revision), updateTimeMs };
}

/** Somebody finished this change and a later one followed; or one of the two stores was restored from a backup. */
function unexpected({ outcome }: StateChange, { countId, infoRevision }: CountChange): Error {
  return new Error(`the counts store answers ${outcome} for ${countId} at info revision ${infoRevision}`);
}

function boundsOf({ minValue, maxValue }: CountContent): Bounds {
  return { minValue: toNumber(minValue), maxValue: toNumber(maxValue) };
}

function toNumber(value: bigint | undefined): number | undefined {
  return value === undefined ? undefined : Number(value);
}
