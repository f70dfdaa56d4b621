import { startPostgresStore } from "../store-fixture.ts";
import { describeFactorStore } from "./store.contract.ts";
import { postgresFactorStore } from "./store-postgres.ts";

describeFactorStore("PostgreSQL", () => startPostgresStore(postgresFactorStore));
