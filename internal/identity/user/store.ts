import type { Transaction } from "../../platform/postgres/database.ts";
import type { PreferencesRecord } from "./preferences.ts";
import type { Change, RoleName, StatusName, UserRecord } from "./user.ts";

/** Which people to list: all conditions must hold; `undefined` and "" for any. */
export interface UserQuery {
  readonly role: RoleName | undefined;
  readonly branchId: string;
  /** `undefined`: all but deleted ones. */
  readonly status: StatusName | undefined;
  readonly plan: string;
  readonly email: string;
}

/** How far the erasure of a deleted person's data has come. */
export interface ErasureRecord {
  readonly erasureId: string;
  readonly userId: string;
  readonly state: "ERASING" | "DESTROYING_KEY" | "DONE";
  /** In the order of the services' names. */
  readonly confirmations: readonly { readonly service: string; readonly confirmTimeMs: number | undefined }[];
  readonly createTimeMs: number;
  readonly doneTimeMs: number | undefined;
}

/** Records what follows from a change of a person, in its transaction, while the person's row is locked. */
export type Announce = (tx: Transaction, after: UserRecord, before: UserRecord) => Promise<void>;

/** User's database. A method that takes `tx` works in the caller's transaction, every other in one of its own. */
export interface UserStore {
  /** The person, deleted ones included. */
  get(userId: string): Promise<UserRecord | undefined>;
  /** People after the id `after` (empty: from the first), in the order of their ids. */
  list(query: UserQuery, after: string, limit: number): Promise<readonly UserRecord[]>;
  /**
   * Adds who has just signed up, as the account's version says, with what `announce` records. Of who is there already, only a newer
   * address is taken over; a deleted person stays deleted.
   */
  add(tx: Transaction, newcomer: UserRecord, accountVersion: bigint, announce: Announce): Promise<void>;
  /**
   * Changes a person under the lock of their row, and of all that keep the last administrator where `guarded`. Returns what they are
   * then; `undefined` when there is none. Throws what the change throws.
   */
  change(
    userId: string,
    change: Change,
    announce: Announce,
    options?: { readonly guarded?: boolean },
  ): Promise<UserRecord | undefined>;
  /** Ids of people after the id `after` (empty: from the first), deleted ones included, in their order. */
  ids(after: string, limit: number): Promise<readonly string[]>;
  /** The same for those whose erasure is not confirmed by every service yet. */
  erasingIds(after: string, limit: number): Promise<readonly string[]>;
  /** Calls `announce` for each of these people, under locks, as if all of them that is ever announced were new. */
  republish(userIds: readonly string[], announce: Announce): Promise<void>;

  /** What the person has set; `undefined` when there is no such person, or a deleted one. */
  preferences(userId: string): Promise<PreferencesRecord | undefined>;
  /** Changes what the person has set, under a lock. `undefined` when there is no such person, or a deleted one. */
  changePreferences(
    userId: string,
    change: (before: PreferencesRecord) => PreferencesRecord,
  ): Promise<PreferencesRecord | undefined>;

  /** Begins an erasure that these services must confirm, and removes all that user holds of the person but the tombstone. */
  beginErasure(
    tx: Transaction,
    erasure: { readonly erasureId: string; readonly userId: string; readonly services: readonly string[] },
    nowMs: number,
  ): Promise<void>;
  erasure(by: { readonly erasureId: string } | { readonly userId: string }): Promise<ErasureRecord | undefined>;
  /** Marks that a service has erased what it held; the last one ends the state ERASING. Others' and repeated marks change nothing. */
  confirmErasure(tx: Transaction, userId: string, service: string, confirmTimeMs: number): Promise<void>;
  /** Erasures whose keys are to be destroyed, the oldest first. */
  dueErasures(limit: number): Promise<readonly { readonly erasureId: string; readonly userId: string }[]>;
  /** Ends an erasure whose key is destroyed. */
  endErasure(erasureId: string, doneTimeMs: number): Promise<void>;
}
