import { startPostgresStore } from "../store-fixture.ts";
import { describeApiKeyStore } from "./store.contract.ts";
import { postgresApiKeyStore } from "./store-postgres.ts";

describeApiKeyStore("PostgreSQL", () => startPostgresStore(postgresApiKeyStore));
