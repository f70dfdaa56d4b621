import type { Clock } from "../../../platform/clock/clock.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import type { FaceEngine, SearchOutcome, SearchQuery } from "../../shared/face-engine.ts";
import type { StoreHealth } from "./store-health.ts";

/** What is counted of hedges. */
export interface HedgeMeters {
  /** The snapshot was asked: the store had not answered yet, or could not. */
  fired(): void;
  /** And its answer was the one that was taken. */
  won(): void;
}

interface HedgeOptions {
  readonly store: FaceEngine;
  readonly snapshot: FaceEngine;
  readonly health: StoreHealth;
  readonly clock: Pick<Clock, "sleep">;
  readonly afterMs: number;
  readonly meters: HedgeMeters;
}

/**
 * Asks the store first, and the snapshot too once the store has not answered for `afterMs` milliseconds, cannot answer, or is known to be away. The first answer by which a door can
 * go on is taken, the other goes unheard. Throws what the store threw when neither has one, or RESOURCE_EXHAUSTED, reason OVERLOADED, when too many scans of snapshots wait.
 */
export function createHedgedEngine(options: HedgeOptions): FaceEngine {
  return {
    search: async (query, signal) => {
      signal.throwIfAborted();
      const ended = new AbortController();
      const stop = AbortSignal.any([signal, ended.signal]);
      const { promise: gone, reject } = Promise.withResolvers<never>();
      signal.addEventListener("abort", () => reject(signal.reason as Error), { once: true, signal: ended.signal });
      try {
        return await Promise.race([hedge(options, query, stop), gone]);
      } finally {
        ended.abort();
      }
    },
  };
}

async function hedge(options: HedgeOptions, query: SearchQuery, signal: AbortSignal): Promise<SearchOutcome> {
  const { store, snapshot, health, clock, afterMs, meters } = options;
  // It is heard to its end, so that a store that does not answer is known by it.
  const askStore = (): Promise<Answer> => answerOf("store", health.watch(store.search(query, never)));
  const taken = (answer: Answer): SearchOutcome => {
    if (answer.from === "snapshot" && isGood(answer)) meters.won();
    return outcomeOf(answer);
  };

  const wasAway = health.isAway;
  const fromStore = health.mayAsk() ? askStore() : undefined;
  if (fromStore !== undefined && !wasAway) {
    const early = await Promise.race([fromStore, clock.sleep(afterMs, signal).catch(() => undefined)]); // Late, or in vain.
    if (early !== undefined && isGood(early)) return taken(early);
  }
  meters.fired();
  const fromSnapshot = answerOf("snapshot", snapshot.search(query, signal));
  const first = await Promise.race([fromSnapshot, ...(fromStore === undefined ? [] : [fromStore])]);
  if (isGood(first)) return taken(first);
  // Who has nothing else asks a store that is away, too.
  const second = await (first.from === "store" ? fromSnapshot : (fromStore ?? askStore()));
  return taken(isGood(second) ? second : reasonOf(first, second));
}

/** What an engine gave. */
type Answer = { readonly from: "store" | "snapshot" } & (
  { readonly outcome: SearchOutcome } | { readonly outcome: undefined; readonly error: unknown }
);

/** Never rejects: nobody may be listening any more. */
function answerOf(from: Answer["from"], search: Promise<SearchOutcome>): Promise<Answer> {
  return search.then(
    (outcome) => ({ from, outcome }),
    (error: unknown) => ({ from, outcome: undefined, error }),
  );
}

/** Whether a door can go on by it. */
function isGood({ outcome }: Answer): boolean {
  return outcome?.kind === "searched" || outcome?.kind === "gallery_changed";
}

/** Of two answers that are of no use the one that says why: the store's, unless scans were too many. */
function reasonOf(one: Answer, other: Answer): Answer {
  const [fromStore, fromSnapshot] = one.from === "store" ? [one, other] : [other, one];
  const error = fromSnapshot.outcome === undefined ? fromSnapshot.error : undefined;
  return error instanceof MuinError && error.code === "resource_exhausted" ? fromSnapshot : fromStore;
}

function outcomeOf(answer: Answer): SearchOutcome {
  if (answer.outcome === undefined) throw answer.error;
  return answer.outcome;
}

/** A signal that nothing aborts. */
const { signal: never } = new AbortController();
