import { startPostgresStore } from "../store-fixture.ts";
import { describeAccountStore } from "./store.contract.ts";
import { postgresAccountStore } from "./store-postgres.ts";

describeAccountStore("PostgreSQL", () => startPostgresStore(postgresAccountStore));
