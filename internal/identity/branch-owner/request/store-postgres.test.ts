import { startPostgresStores } from "../stores-postgres-fixture.ts";
import { describeRequestStore } from "./store.contract.ts";

describeRequestStore("PostgreSQL", startPostgresStores);
