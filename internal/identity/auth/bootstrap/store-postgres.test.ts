import { startPostgresStore } from "../store-fixture.ts";
import { describeBootstrapStore } from "./store.contract.ts";
import { postgresBootstrapStore } from "./store-postgres.ts";

describeBootstrapStore("PostgreSQL", () => startPostgresStore(postgresBootstrapStore));
