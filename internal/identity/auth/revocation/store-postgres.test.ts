import { startPostgresStore } from "../store-fixture.ts";
import { describeRevocationStore } from "./store.contract.ts";
import { postgresRevocationStore } from "./store-postgres.ts";

describeRevocationStore("PostgreSQL", () => startPostgresStore(postgresRevocationStore));
