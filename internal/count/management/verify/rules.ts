import type { CountStates } from "../../shared/count-states.ts";
import { verdictOf, type StoredValue, type WatchedSum, type WatchVerdict } from "../watch/rules.ts";
import type { WatchStore } from "../watch/store.ts";

/** How one Count's value compares with the sum of its changes. */
export interface CountComparison {
  readonly watched: WatchedSum;
  readonly stored: StoredValue;
  readonly verdict: WatchVerdict;
}

/** Compares values in the counts store with the sums of their change events. */
export interface CountVerifier {
  /**
   * A page of Counts after the id `after` (empty: from the first), in the order of their ids. `last` is the id after which
   * the next page begins, empty when there is none. Rejects when a store cannot be reached.
   */
  verify(
    prefix: string,
    after: string,
    limit: number,
  ): Promise<{ readonly checks: readonly CountComparison[]; readonly last: string }>;
  /**
   * Has the watch go on from the values in the counts store, each read with its revision in one step, wherever the sums have not
   * reached them: for a watch that missed events.
   */
  restartWatch(): Promise<void>;
}

/** Counts of one step of a restart. */
const restartPage = 1000;

/** Compares against the primary. */
export function createCountVerifier({
  watch,
  states,
}: {
  readonly watch: Pick<WatchStore, "list" | "restart">;
  readonly states: Pick<CountStates, "read">;
}): CountVerifier {
  const verify: CountVerifier["verify"] = async (prefix, after, limit) => {
    // The sums first: a value read later is never behind them unless it was lost.
    const sums = await watch.list(prefix, after, limit + 1);
    const page = sums.slice(0, limit);
    const counts = page.length === 0 ? [] : await states.read(page.map(({ countId }) => countId));
    const checks = page.map((watched, index) => {
      const record = counts[index]?.record;
      const stored = { value: BigInt(record?.value ?? 0), revision: BigInt(record?.revision ?? 0) };
      return { watched, stored, verdict: verdictOf(watched, stored) };
    });
    return { checks, last: sums.length > limit ? (page.at(-1)?.countId ?? "") : "" };
  };
  return {
    verify,
    restartWatch: async () => {
      for (let after = ""; ;) {
        const { checks, last } = await verify("", after, restartPage);
        const missed = checks.filter(({ watched, stored }) => stored.revision > watched.sumRevision);
        if (missed.length > 0) await watch.restart(missed);
        if (last === "") return;
        after = last;
      }
    },
  };
}
