import { startPostgresStore } from "../store-fixture.ts";
import { describePersonKeyStore } from "./store.contract.ts";
import { postgresPersonKeyStore } from "./store-postgres.ts";

describePersonKeyStore("PostgreSQL", () => startPostgresStore(postgresPersonKeyStore));
