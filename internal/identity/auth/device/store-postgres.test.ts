import { startPostgresStore } from "../store-fixture.ts";
import { describeDeviceStore } from "./store.contract.ts";
import { postgresDeviceStore } from "./store-postgres.ts";

describeDeviceStore("PostgreSQL", () => startPostgresStore(postgresDeviceStore));
