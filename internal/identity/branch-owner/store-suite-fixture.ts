import type { Database } from "../../platform/postgres/database.ts";
import type { BranchStore } from "./branch/store.ts";
import type { OwnerStore } from "./owner/store.ts";
import type { PersonStore } from "./person/store.ts";
import type { RequestStore } from "./request/store.ts";
import type { StaffStore } from "./staff/store.ts";

/** All stores of branch-owner, empty, and the database that they work in: each suite tries one and fills the others. */
export interface StartedStores extends AsyncDisposable {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly people: PersonStore;
  readonly owners: OwnerStore;
  readonly branches: BranchStore;
  readonly staff: StaffStore;
  /** Requests stay for a minute. */
  readonly requests: RequestStore;
}
