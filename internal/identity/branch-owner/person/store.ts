import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { EventVersion } from "../../../platform/service/event-version.ts";

/** The status of a person in the words of the database. */
export type PersonStatus = "ACTIVE" | "SUSPENDED" | "DELETED";

/**
 * Copies of people, as far as branches need them. News that is not newer than the copy changes nothing, and nothing changes who is
 * deleted.
 */
export interface PersonStore {
  /** `undefined` when nothing is known of the person. */
  statusOf(sql: Sql, userId: string): Promise<PersonStatus | undefined>;
  /** The same, and until the transaction ends the person is not deleted. */
  lock(tx: Transaction, userId: string): Promise<PersonStatus | undefined>;
  /** Their name for people; `undefined` when nothing is known of the person, or they are deleted. */
  displayNameOf(sql: Sql, userId: string): Promise<string | undefined>;
  /** Notes who has signed up. Their first name is older than any change of it. */
  signedUp(tx: Transaction, userId: string, displayName: string): Promise<void>;
  /** Notes a name, as the version of the profile says. */
  renamed(tx: Transaction, userId: string, displayName: string, profileVersion: EventVersion): Promise<void>;
  /** Notes a status, as its version says. */
  changedStatus(
    tx: Transaction,
    userId: string,
    status: Exclude<PersonStatus, "DELETED">,
    statusVersion: EventVersion,
  ): Promise<void>;
  /** Leaves nothing of a person but the id, and that they are deleted. */
  erase(tx: Transaction, userId: string): Promise<void>;
}
