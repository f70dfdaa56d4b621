import type { StaffMember } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { PersonStatus } from "../person/store.ts";

/** Roles of staff in the words of the database. */
export type StaffRoleName = "MANAGER" | "ATTENDANT";

/** A person who works for a branch. */
export interface StaffEntry {
  readonly userId: string;
  readonly role: StaffRoleName;
  readonly displayName: string;
}

/** What a person is to a branch. */
export interface Standing {
  /** `undefined` when nothing is known of the person. */
  readonly status: PersonStatus | undefined;
  /** `undefined` for who does not work there. */
  readonly staffRole: StaffRoleName | undefined;
}

/** Who works for which branch. */
export interface StaffStore {
  standingOf(sql: Sql, branchId: string, userId: string): Promise<Standing>;
  /** All who work for a branch, in the order of their ids. */
  of(sql: Sql, branchId: string): Promise<StaffMember[]>;
  /** Those after the id `after`, with their names. */
  list(sql: Sql, branchId: string, after: string, limit: number): Promise<readonly StaffEntry[]>;
  count(sql: Sql, branchId: string): Promise<number>;
  /** Where a person works, in the order of the branches' ids. */
  ofPerson(
    sql: Sql,
    userId: string,
    limit: number,
  ): Promise<readonly { readonly branchId: string; readonly role: StaffRoleName }[]>;
  /** Lets a person work for a branch, or changes what they do. */
  save(tx: Transaction, branchId: string, userId: string, role: StaffRoleName): Promise<void>;
  /** Ends a person's work for a branch; false when they did none. */
  remove(tx: Transaction, branchId: string, userId: string): Promise<boolean>;
}
