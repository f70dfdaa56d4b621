import { startPostgresStore } from "../store-fixture.ts";
import { describeSessionStore } from "./store.contract.ts";
import { postgresSessionStore } from "./store-postgres.ts";

describeSessionStore("PostgreSQL", () => startPostgresStore(postgresSessionStore));
