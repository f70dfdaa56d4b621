import type { CountStates } from "../shared/manage-count.ts";
import type { Decision } from "./count-change.ts";
import type { CountChange } from "./store.ts";

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
