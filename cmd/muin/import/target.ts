import type { Batch } from "./planner.ts";

/** Where an import stands. */
export interface ImportPosition {
  readonly importId: string;
  /** Decompressed bytes counted so far. */
  readonly offset: number;
  /** Sequence of the last batch applied. */
  readonly sequence: number;
  /** Lines counted so far. */
  readonly lines: number;
  /** SHA-256 of the source's bytes before the offset; absent when it is not known. */
  readonly tailHash?: Uint8Array;
}

/** Lines that a Count would not take although their batch was applied: it was deleted at that moment. */
export interface Refusal {
  readonly countId: string;
  readonly lines: number;
  /** UPPER_SNAKE name of the reason. */
  readonly reason: string;
}

/** Where an import's batches go. */
export interface ImportTarget {
  /** Finds the import or begins it. */
  start(request: {
    readonly optionsHash: Uint8Array<ArrayBuffer>;
    readonly prefix: Uint8Array<ArrayBuffer>;
    readonly importId: string;
    readonly restart: boolean;
  }): Promise<ImportPosition>;
  /** What earlier runs assigned. */
  assignments(importId: string): AsyncIterable<{ readonly value: string; readonly countId: string }>;
  /**
   * Makes sure the batch's new Counts exist, then applies it once, however often this is called for a sequence. Resolves with
   * what was refused. `tailHash` is of the source's bytes before the end of the batch, when it is known.
   */
  apply(
    importId: string,
    sequence: number,
    batch: Batch,
    tailHash: Uint8Array<ArrayBuffer> | undefined,
  ): Promise<readonly Refusal[]>;
}

/** A target that keeps nothing: for a look at what would be counted. */
export const dryRunTarget: ImportTarget = {
  start: () => Promise.resolve({ importId: "", offset: 0, sequence: 0, lines: 0 }),
  // oxlint-disable-next-line require-yield -- there is nothing to yield
  assignments: async function* assignments() {},
  apply: () => Promise.resolve([]),
};
