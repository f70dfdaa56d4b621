import { type Changes, plus, type Whole } from "./read-changes.ts";

/** The changes of one Count in one message, as far as their revisions follow one another. */
export interface WatchRun {
  readonly countId: string;
  /** Generation of the counts store that the revisions belong to. */
  readonly epoch: number;
  readonly firstRevision: number;
  readonly lastRevision: number;
  /** In the order of the revisions. */
  readonly deltas: readonly Whole[];
  /** Sum of the deltas. */
  readonly delta: Whole;
  /** The value after the last change, as the events say. */
  readonly value: number;
  /** False when a change's value is not the one before it plus its delta. */
  readonly consistent: boolean;
  /** The first revision of the Count in this message that does not follow; 0 when all do. */
  readonly gapRevision: number;
}

/** What an event showed to be wrong with a Count's changes. */
export interface WatchFailure {
  readonly countId: string;
  readonly kind: "gap" | "difference";
  /** Revision at which it showed. */
  readonly revision: bigint;
}

/** The sum of a Count's changes. */
export interface WatchedSum {
  readonly countId: string;
  readonly sum: bigint;
  readonly sumRevision: bigint;
  /** The sum is the value at this revision plus all deltas since; 0: from the Count's creation. */
  readonly sinceRevision: bigint;
  /** A revision that came while earlier ones were missing; a failure while above `sumRevision`. */
  readonly gapRevision: bigint;
  /** The first revision at which sum and value differed; 0 for never. */
  readonly differRevision: bigint;
  /** When the sum last advanced; `undefined` before the first event. */
  readonly watchTimeMs: number | undefined;
}

/** A value as the counts store has it. */
export interface StoredValue {
  readonly value: bigint;
  readonly revision: bigint;
}

/** How a Count's value compares with the sum of its changes. */
export type WatchVerdict = "EQUAL" | "BEHIND" | "DIFFERENT" | "GAP";

/** Changes that one event told of. */
export interface ToldChanges {
  /** The event's epoch: the generation of the counts store. */
  readonly epoch: number;
  readonly changes: Changes;
}

/**
 * Gathers changes by Count. Those of one Count come in the order of their revisions; repeats are passed over, and so is what is of an
 * earlier generation than another change of its Count.
 */
export function runsOf(told: readonly ToldChanges[]): readonly WatchRun[] {
  const runs = new Map<string, { -readonly [K in keyof WatchRun]: WatchRun[K] } & { deltas: Whole[] }>();
  for (const { epoch, changes } of told) {
    for (const [place, countId] of changes.countIds.entries()) {
      const delta = changes.deltas[place]!;
      const value = changes.values[place]!;
      const revision = changes.revisions[place]!;
      const run = runs.get(countId);
      if (run === undefined || run.epoch < epoch) {
        runs.set(countId, {
          countId,
          epoch,
          firstRevision: revision,
          lastRevision: revision,
          deltas: [delta],
          delta,
          value,
          consistent: true,
          gapRevision: 0,
        });
      } else if (run.epoch > epoch) {
        continue;
      } else if (run.gapRevision === 0 && revision === run.lastRevision + 1) {
        run.consistent &&= plus(run.value, delta) === value;
        run.lastRevision = revision;
        run.deltas.push(delta);
        run.delta = plus(run.delta, delta);
        run.value = value;
      } else if (run.gapRevision === 0 && revision > run.lastRevision) {
        run.gapRevision = revision;
      }
    }
  }
  return [...runs.values()];
}

/**
 * Compares a sum with the value in the counts store, which must have been read after it: events come after the store, so a
 * store that is behind the sum has lost what it acknowledged.
 */
export function verdictOf(watched: WatchedSum, stored: StoredValue): WatchVerdict {
  if (watched.differRevision > 0n || stored.revision < watched.sumRevision) return "DIFFERENT";
  if (watched.gapRevision > watched.sumRevision) return "GAP";
  if (stored.revision > watched.sumRevision) return "BEHIND";
  return stored.value === watched.sum ? "EQUAL" : "DIFFERENT";
}
