import { type ClaimCount, createDryClaims } from "./count-owners.ts";

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

/** A batch as it is applied. */
export interface CountBatch {
  /** Offset of the first byte after it. */
  readonly offsetEnd: number;
  /** Lines that it covers. */
  readonly lines: number;
  /** What to add to which Count. */
  readonly writes: ReadonlyMap<string, number>;
  /** Values that met their Count for the first time. */
  readonly assignments: readonly { readonly value: string; readonly countId: string }[];
  /** SHA-256 of the source's bytes before the end of the batch, when it is known. */
  readonly tailHash: Uint8Array<ArrayBuffer> | undefined;
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
  /** Makes a Count a value's, which is created when there is none of that id. */
  claim(importId: string): ClaimCount;
  /** Applies a batch once, however often this is called for a sequence. Resolves with what was refused. */
  apply(importId: string, sequence: number, batch: CountBatch): Promise<readonly Refusal[]>;
}

/** A target that keeps nothing: for a look at what would be counted. */
export function createDryRunTarget(): ImportTarget {
  const claim = createDryClaims();
  return {
    start: () => Promise.resolve({ importId: "", offset: 0, sequence: 0, lines: 0 }),
    assignments: noAssignments,
    claim: () => claim,
    apply: () => Promise.resolve([]),
  };
}

// oxlint-disable-next-line require-yield -- there is nothing to yield
async function* noAssignments(): AsyncGenerator<never, void, void> {}
