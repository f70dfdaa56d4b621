import { startBranchOwner } from "./branch-owner-fixture.ts";
import { createPostgresBranchStore } from "./branch/store-postgres.ts";
import { createPostgresOwnerStore } from "./owner/store-postgres.ts";
import { createPostgresPersonStore } from "./person/store-postgres.ts";
import { createPostgresRequestStore } from "./request/store-postgres.ts";
import { createPostgresStaffStore } from "./staff/store-postgres.ts";
import type { StartedStores } from "./store-suite-fixture.ts";

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
