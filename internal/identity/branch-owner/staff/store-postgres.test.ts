import { startPostgresStores } from "../stores-postgres-fixture.ts";
import { describeStaffStore } from "./store.contract.ts";

describeStaffStore("PostgreSQL", startPostgresStores);
