import { startPostgresStores } from "../stores-fixture.ts";
import { describeStaffStore } from "./store.contract.ts";

describeStaffStore("PostgreSQL", startPostgresStores);
