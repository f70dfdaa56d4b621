import { startPostgresStores } from "../stores-fixture.ts";
import { describeRequestStore } from "./store.contract.ts";

describeRequestStore("PostgreSQL", startPostgresStores);
