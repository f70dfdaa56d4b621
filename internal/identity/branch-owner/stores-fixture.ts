import type { Database } from "../../platform/postgres/database.ts";
import { startBranchOwner } from "./branch-owner-fixture.ts";
import { postgresBranchStore } from "./branch/store-postgres.ts";
import type { BranchStore } from "./branch/store.ts";
import { postgresOwnerStore } from "./owner/store-postgres.ts";
import type { OwnerStore } from "./owner/store.ts";
import { postgresPersonStore } from "./person/store-postgres.ts";
import type { PersonStore } from "./person/store.ts";
import { postgresRequestStore } from "./request/store-postgres.ts";
import type { RequestStore } from "./request/store.ts";
import { postgresStaffStore } from "./staff/store-postgres.ts";
import type { StaffStore } from "./staff/store.ts";

/** All stores of branch-owner, empty, and the database that they work in: each suite tries one and fills the others. */
export interface StartedStores extends AsyncDisposable {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly people: PersonStore;
  readonly owners: OwnerStore;
  readonly branches: BranchStore;
  readonly staff: StaffStore;
  readonly requests: RequestStore;
}

/** All stores on a PostgreSQL database of their own. */
export async function startPostgresStores(): Promise<StartedStores> {
  const service = await startBranchOwner();
  return {
    database: service.database,
    people: postgresPersonStore,
    owners: postgresOwnerStore,
    branches: postgresBranchStore,
    staff: postgresStaffStore,
    requests: postgresRequestStore,
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}
