import type { Transaction } from "../../../platform/postgres/database.ts";
import type { RequestName } from "../request/store.ts";
import type { CountContent, CountRecord, CountStateName, Operation } from "./record.ts";

/** A change on its way: accepted in CountInfoDB, to be decided by the counts store, then made known. */
export interface CountChange {
  readonly countId: string;
  /** Number of this change of this Count, never given twice. */
  readonly infoRevision: number;
  readonly operation: Operation;
  /** The content once the change is made. */
  readonly content: CountContent;
  /** 0 unless the operation is CREATE. */
  readonly initialValue: bigint;
  readonly createTimeMs: number;
  readonly startTimeMs: number;
}

/** A change of a Count that there is, to be recorded. Its times are the database's, so that all instances agree on them. */
export interface NewChange extends Pick<CountChange, "countId" | "infoRevision" | "content"> {
  readonly operation: Exclude<Operation, "CREATE">;
  /** The state of the Count until the change is made. */
  readonly stateMeanwhile: CountStateName;
  /** Whose change it is. */
  readonly request: RequestName;
}

/** A Count to be created. */
export interface NewCount extends Pick<CountChange, "countId" | "content" | "initialValue"> {
  /** Whose creation it is. */
  readonly request: RequestName;
}

/** A Count whose row is locked until the transaction ends. */
export interface LockedCount {
  /** `undefined`: there is none. */
  readonly record: CountRecord | undefined;
  /** The number last given to a change of it; 0 for none. */
  readonly infoRevision: number;
}

/** Which Counts to list. */
export interface CountQuery {
  /** Empty for any. */
  readonly prefix: string;
  /** Labels that a Count must have, all of them. */
  readonly labels: readonly (readonly [key: string, value: string])[];
  readonly state: CountStateName;
}

/**
 * The Counts of CountInfoDB and the changes of them on their way, at most one per Count. What takes several locks their rows in the order
 * of the ids, so that two who want the same do not wait for each other; no id may come twice.
 */
export interface InfoStore {
  /** The Count, whatever its state. */
  get(countId: string): Promise<CountRecord | undefined>;
  /** Counts after the id `after` (empty: from the first), in the order of their ids, never PENDING ones. */
  list(query: CountQuery, after: string, limit: number): Promise<readonly CountRecord[]>;
  /** Takes up changes that nobody has taken up for `ageMs`: no other caller gets them for as long. */
  takeUp(ageMs: number, limit: number): Promise<readonly CountChange[]>;

  /**
   * Makes PENDING rows and records the creations, each under info revision 1; `undefined` where there is a row of that id. Of two that
   * create the same one waits for the other's transaction.
   */
  beginCreations(tx: Transaction, counts: readonly NewCount[]): Promise<readonly (CountChange | undefined)[]>;
  /** Takes back creations that were begun in the same transaction. */
  takeBack(tx: Transaction, creations: readonly CountChange[]): Promise<void>;
  /** The Count as the last transaction left it, locked. */
  lock(tx: Transaction, countId: string): Promise<LockedCount>;
  /** Up to `limit` ACTIVE and DELETED Counts after the id `after`, in the order of their ids, locked. */
  lockSettled(tx: Transaction, after: string, limit: number): Promise<readonly CountRecord[]>;
  /** Saves Counts as changes made them; false where that had been done before, by its version. */
  save(tx: Transaction, records: readonly CountRecord[]): Promise<readonly boolean[]>;

  /** The change of a Count that is on its way. */
  changeOf(tx: Transaction, countId: string): Promise<CountChange | undefined>;
  /** Records a change of a locked Count that has none on its way. */
  begin(tx: Transaction, change: NewChange): Promise<CountChange>;
  /** Removes changes and locks their Counts. Tells whose each was; `undefined` where somebody had removed it before. */
  end(tx: Transaction, changes: readonly CountChange[]): Promise<readonly (RequestName | undefined)[]>;
}
