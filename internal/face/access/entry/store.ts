import type { Decision, DecisionReason, Entry, EntryKind } from "../../../gen/muin/face/v1/entry_pb.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** Which entries: those of which all that is given holds. */
export interface EntryQuery {
  readonly branchId: string | undefined;
  readonly memberId: string | undefined;
  readonly deviceId: string | undefined;
  readonly decision: Decision | undefined;
  readonly reason: DecisionReason | undefined;
  readonly kind: EntryKind | undefined;
  /** Decided then or later. */
  readonly fromMs: number | undefined;
  /** Decided before. */
  readonly untilMs: number | undefined;
}

/** Place of an entry in the order of decisions. */
export interface EntryPlace {
  readonly decideTimeMs: number;
  readonly entryId: string;
}

/** An entry and its place in the order in which entries became visible. */
export interface RecordedEntry {
  readonly entry: Entry;
  readonly sequence: bigint;
}

/** The log of entries. */
export interface EntryStore {
  /**
   * Records entries that are not recorded yet, in their order, and returns those. No entry is ever recorded before one that can be seen already, however
   * many processes record. Of a deleted person an entry holds a pseudonym.
   */
  record(tx: Transaction, entries: readonly Entry[], newPseudonym: () => string): Promise<readonly Entry[]>;
  find(sql: Sql, entryId: string): Promise<Entry | undefined>;
  /** Newest first, at most `limit`, from before a place on. */
  list(sql: Sql, query: EntryQuery, before: EntryPlace | undefined, limit: number): Promise<readonly Entry[]>;
  /** Those recorded after a sequence, in order, at most `limit`. */
  listRecorded(sql: Sql, query: EntryQuery, after: bigint, limit: number): Promise<readonly RecordedEntry[]>;
  /** The sequences of the last entry that was recorded, and of the last of those that were removed; 0 when there is none. */
  bounds(sql: Sql): Promise<{ readonly last: bigint; readonly removed: bigint }>;
  /** Removes entries decided before, at most `limit`, the oldest first. Returns how many. */
  remove(tx: Transaction, beforeMs: number, limit: number): Promise<number>;
  /** Puts a pseudonym in the place of a person, in what was recorded and, another one each, in what will be. */
  erase(tx: Transaction, memberId: string, pseudonym: string): Promise<void>;
}
