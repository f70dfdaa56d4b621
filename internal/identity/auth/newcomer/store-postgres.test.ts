import { startPostgresStore } from "../store-fixture.ts";
import { describeNewcomerStore } from "./store.contract.ts";
import { postgresNewcomerStore } from "./store-postgres.ts";

describeNewcomerStore("PostgreSQL", () => startPostgresStore(postgresNewcomerStore));
