import { startPostgresStore } from "../store-fixture.ts";
import { describeMailStore } from "./store.contract.ts";
import { postgresMailStore } from "./store-postgres.ts";

describeMailStore("PostgreSQL", () => startPostgresStore(postgresMailStore));
