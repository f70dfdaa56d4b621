import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { EventVersion } from "../../../platform/service/event-version.ts";

/** The status of a person in the words of the database. */
export type PersonStatus = "ACTIVE" | "SUSPENDED" | "DELETED";

/** Copies of people, as far as enrolments need them. Nothing changes who is deleted. */
export interface PersonStore {
  /** `undefined` when nothing is known of the person. */
  statusOf(sql: Sql, userId: string): Promise<PersonStatus | undefined>;
  /** The same, and until the transaction ends the person is not deleted. */
  hold(tx: Transaction, userId: string): Promise<PersonStatus | undefined>;
  /** Notes who has signed up. A status that was heard before stays. */
  signedUp(tx: Transaction, userId: string): Promise<void>;
  /** Notes a status, unless what is known is as new. */
  changedStatus(
    tx: Transaction,
    userId: string,
    status: Exclude<PersonStatus, "DELETED">,
    version: EventVersion,
  ): Promise<void>;
  /** Notes that a person is deleted. */
  erase(tx: Transaction, userId: string): Promise<void>;
}
