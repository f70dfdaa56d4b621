import type { EventVersion } from "../../../platform/service/event-version.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { Person, RoleName, StatusName } from "./person.ts";

/** Which people to list: all conditions must hold; `undefined` and "" for any. */
export interface PersonQuery {
  readonly role: RoleName | undefined;
  readonly branchId: string;
  /** `undefined`: all but deleted ones. */
  readonly status: StatusName | undefined;
  readonly plan: string;
  readonly email: string;
}

/**
 * People, deleted ones included unless it says otherwise. A text that cannot be an id is nobody's. What a method with
 * `tx` locks stays locked until that transaction ends.
 */
export interface PersonStore {
  get(sql: Sql, userId: string): Promise<Person | undefined>;
  /** People after the id `after` (empty: from the first), in the order of their ids. */
  list(sql: Sql, query: PersonQuery, after: string, limit: number): Promise<readonly Person[]>;
  /** Ids after the id `after` (empty: from the first), in their order. */
  ids(sql: Sql, after: string, limit: number): Promise<readonly string[]>;

  /**
   * How many active administrators there are but this one, which nobody who asks too changes meanwhile. To be asked before `lock`: of
   * two who hold a row and wait for the other's, one would be sent away.
   */
  otherAdministrators(tx: Transaction, userId: string): Promise<number>;
  /** The person as the last transaction left them, locked. */
  lock(tx: Transaction, userId: string): Promise<Person | undefined>;
  /** The same for several, in the order of their ids. */
  lockAll(tx: Transaction, userIds: readonly string[]): Promise<readonly Person[]>;
  /** Adds a person, as the account's version says; false when they are there already. */
  add(tx: Transaction, newcomer: Person, accountVersion: EventVersion): Promise<boolean>;
  /** Notes the account's version of a person; false when one as new was noted before. */
  advanceAccount(tx: Transaction, userId: string, accountVersion: EventVersion): Promise<boolean>;
  /** Saves a locked person. */
  save(tx: Transaction, person: Person): Promise<void>;
}
