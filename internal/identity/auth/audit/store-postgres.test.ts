import { startPostgresStore } from "../store-fixture.ts";
import { describeAuditStore } from "./store.contract.ts";
import { postgresAuditStore } from "./store-postgres.ts";

describeAuditStore("PostgreSQL", () => startPostgresStore(postgresAuditStore));
