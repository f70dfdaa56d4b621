import { startPostgresStore } from "../store-fixture.ts";
import { describeQuotaStore } from "./store.contract.ts";
import { postgresQuotaStore } from "./store-postgres.ts";

describeQuotaStore("PostgreSQL", () => startPostgresStore(postgresQuotaStore));
