import { startPostgresStore } from "../store-fixture.ts";
import { describeLockoutStore } from "./store.contract.ts";
import { postgresLockoutStore } from "./store-postgres.ts";

describeLockoutStore("PostgreSQL", () => startPostgresStore(postgresLockoutStore));
