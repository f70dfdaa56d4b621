import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { retry } from "../../../platform/lifecycle/retry.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { type CountStoreLayout, recordLayout } from "../../shared/count-store.ts";

/** Pause between attempts to learn the layout of a store that is away. */
const retryPause = { minMs: 250, maxMs: 250 };

/** The store, and what it should be. */
export interface LayoutSearchOptions {
  readonly store: RedisStore;
  /** Shards that the store must have; recorded in one that is new. 0: whatever it has. */
  readonly shards: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  /** Told once, when the layout is known. */
  readonly onFound: (layout: CountStoreLayout) => void;
}

/**
 * Learns what a counts store is. `start` rejects when the store was made with another number of shards; a store that is away is
 * asked again in the background until it answers or the search is stopped.
 */
export interface LayoutSearch extends Component {
  /** The store's layout; undefined until it is known. */
  layout(): CountStoreLayout | undefined;
  /** Why the store, which answered late, cannot be used with these settings; undefined when nothing is known against it. */
  refusal(): string | undefined;
}

/** A search that has asked nothing yet. */
export function createLayoutSearch(options: LayoutSearchOptions): LayoutSearch {
  const { store, shards, clock, random, log, onFound } = options;
  let layout: CountStoreLayout | undefined;
  let refusal: string | undefined;
  const halt = new AbortController();

  const ask = async (): Promise<void> => {
    layout = await recordLayout(store, { shards, random });
    onFound(layout);
  };
  const askAgain = async (): Promise<void> => {
    try {
      await clock.sleep(retryPause.minMs, halt.signal);
      await retry(ask, { ...retryPause, clock, random, signal: halt.signal, isRetryable: isAway });
    } catch (error) {
      if (halt.signal.aborted) return;
      refusal = error instanceof Error ? error.message : String(error);
      log.error("the counts store does not fit the settings", { err: error });
    }
  };

  return {
    name: "layout of the counts store",
    layout: () => layout,
    refusal: () => refusal,
    start: async () => {
      try {
        await ask();
      } catch (error) {
        if (!isAway(error)) throw error;
        void askAgain(); // It never rejects.
      }
    },
    stop: () => {
      halt.abort();
      return Promise.resolve();
    },
  };
}

/** Whether the store may tell its layout later. Any other error says that it does not fit. */
function isAway(error: unknown): boolean {
  return error instanceof MuinError;
}
