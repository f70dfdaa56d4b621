import type { Database } from "../../platform/postgres/database.ts";
import { startBranchOwner } from "./branch-owner-fixture.ts";
import { createPostgresBranchStore } from "./branch/store-postgres.ts";
import type { BranchStore } from "./branch/store.ts";
import { createPostgresOwnerStore } from "./owner/store-postgres.ts";
import type { OwnerStore } from "./owner/store.ts";
import { createPostgresPersonStore } from "./person/store-postgres.ts";
import type { PersonStore } from "./person/store.ts";
import { createPostgresRequestStore } from "./request/store-postgres.ts";
import type { RequestStore } from "./request/store.ts";
import { createPostgresStaffStore } from "./staff/store-postgres.ts";
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

/** All stores on a PostgreSQL database of their own. */
export async function startPostgresStores(): Promise<StartedStores> {
  const service = await startBranchOwner();
  return {
    database: service.database,
    people: createPostgresPersonStore(),
    owners: createPostgresOwnerStore(),
    branches: createPostgresBranchStore(),
    staff: createPostgresStaffStore(),
    requests: createPostgresRequestStore({ windowMs: 60_000 }),
    [Symbol.asyncDispose]: () => service[Symbol.asyncDispose](),
  };
}
