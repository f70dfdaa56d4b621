import { startPostgresStore } from "../store-fixture.ts";
import { describeEnrolmentStore } from "./store.contract.ts";
import { postgresEnrolmentStore } from "./store-postgres.ts";

describeEnrolmentStore("PostgreSQL", () => startPostgresStore(postgresEnrolmentStore));
