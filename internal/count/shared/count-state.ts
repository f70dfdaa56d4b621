/**
 * A Count as the counts Redis holds it, 49 bytes, little-endian: state (uint8: 1 active, 2 deleted, 3 pending), then six float64: value,
 * revision, update time in milliseconds, lowest and highest value, info revision. In Lua: `stateFormat`.
 */
export interface CountStateRecord {
  /** `pending`: it is being created, and does not exist for anyone yet. */
  readonly state: CountStateWord;
  readonly value: number;
  /** Grows by one with each write and never restarts. */
  readonly revision: number;
  /** Milliseconds since the Unix epoch, by the shard's clock. */
  readonly updateTimeMs: number;
  readonly minValue: number;
  readonly maxValue: number;
  /** Revision of the metadata that this was set from. */
  readonly infoRevision: number;
}

/** What a Count is to the write path. */
export type CountStateWord = "active" | "deleted" | "pending";

/** Names the state of a record. */
export function countStateOf(number: number): CountStateWord {
  if (number === 1) return "active";
  return number === 2 ? "deleted" : "pending";
}

/** The format in the notation of Lua's `struct`. */
export const stateFormat = "<Bdddddd";

/** Reads a stored Count. */
export function decodeCountState(bytes: Buffer): CountStateRecord {
  return {
    state: countStateOf(bytes.readUInt8(0)),
    value: bytes.readDoubleLE(1),
    revision: bytes.readDoubleLE(9),
    updateTimeMs: bytes.readDoubleLE(17),
    minValue: bytes.readDoubleLE(25),
    maxValue: bytes.readDoubleLE(33),
    infoRevision: bytes.readDoubleLE(41),
  };
}
