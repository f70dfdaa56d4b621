/** So many bytes before its offset name a file there: up to that offset they are all of its beginning. */
export const tailBytesMax = 65_536;

/** A batch of an import, as it is kept until it is applied. */
export interface ImportIntent {
  readonly sequence: number;
  readonly offsetEnd: number;
  readonly lines: number;
  readonly countIds: readonly string[];
  readonly deltas: readonly number[];
  /** Pairs of original value and Count. */
  readonly assignments: readonly (readonly [value: string, countId: string])[];
  /** SHA-256 of the bytes before `offsetEnd`, of at most `tailBytesMax`; absent when the client does not know it. */
  readonly tailHash?: Uint8Array;
}

/** A write that a Count refused after its batch had begun. */
export interface ImportRefusal {
  readonly countId: string;
  readonly delta: number;
  readonly reason: string;
}

/** An import, as its home record holds it. */
export interface ImportRecord {
  /** SHA-256 of the options. */
  readonly optionsHash: Buffer;
  /** Bytes of the file's beginning that name it, and their SHA-256; 0 and empty when it has none. */
  readonly prefixBytes: number;
  readonly prefixHash: Buffer;
  readonly offset: number;
  /** SHA-256 of the bytes before the offset, of at most `tailBytesMax`; `undefined` when it is not known. */
  readonly tailHash: Buffer | undefined;
  readonly sequence: number;
  readonly lines: number;
  /** SHA-256 of the last batch, and what it was answered. */
  readonly lastHash: Buffer;
  readonly lastRefused: readonly ImportRefusal[];
  /** A batch that was begun and not completed. */
  readonly intent: { readonly hash: Buffer; readonly batch: ImportIntent } | undefined;
}

/** The beginning of a file. */
export interface ImportPrefix {
  readonly bytes: number;
  readonly hash: Buffer;
}

/**
 * Imports in the counts Redis. Each has a home record on the shard of its key, for ever; the key is made of caller and import
 * id. Every step is one atomic script and safe to repeat. All throw UNAVAILABLE, reason STORE_UNAVAILABLE.
 */
export interface ImportStore {
  /** The imports of a caller with these options: their ids by the beginnings they are found by. */
  find(index: string): Promise<readonly { readonly prefix: ImportPrefix; readonly importId: string }[]>;
  /**
   * Enters an import into an index, under the beginning of its file or, of all that a caller has, its id, instead of those of `replaced`. Returns the id that stands there: another
   * one when two began at once, `undefined` when there are too many imports.
   */
  enter(
    index: string,
    prefix: ImportPrefix,
    importId: string,
    replaced: readonly ImportPrefix[],
  ): Promise<string | undefined>;
  read(key: string): Promise<ImportRecord | undefined>;
  /** Begins an import, or leaves it as it is when there is one and `anew` is false. `anew` keeps only the sequence. */
  open(key: string, optionsHash: Uint8Array, prefix: ImportPrefix, anew: boolean): Promise<void>;
  /**
   * Keeps a batch until it is completed. `begun`: it is kept now, or was. `out_of_sequence`: it is not the next one, or another
   * batch is under way. `full`: its assignments would be too many.
   */
  begin(key: string, batch: ImportIntent, hash: Uint8Array): Promise<"begun" | "out_of_sequence" | "full">;
  /** Moves the import past its batch; does nothing when that was done. */
  complete(key: string, batch: ImportIntent, refused: readonly ImportRefusal[]): Promise<void>;
  /** Assignments from place `from`, in the order in which they were made. */
  assignments(
    key: string,
    from: number,
    count: number,
  ): Promise<readonly (readonly [value: string, countId: string])[]>;
}
