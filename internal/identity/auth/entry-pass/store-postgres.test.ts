import { startPostgresStore } from "../store-fixture.ts";
import { describeEntryPassStore } from "./store.contract.ts";
import { postgresEntryPassStore } from "./store-postgres.ts";

describeEntryPassStore("PostgreSQL", () => startPostgresStore(postgresEntryPassStore));
