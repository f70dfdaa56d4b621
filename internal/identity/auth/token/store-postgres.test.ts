import { startPostgresStore } from "../store-fixture.ts";
import { describeSigningKeyStore } from "./store.contract.ts";
import { postgresSigningKeyStore } from "./store-postgres.ts";

describeSigningKeyStore("PostgreSQL", () => startPostgresStore(postgresSigningKeyStore));
