import { startPostgresStores } from "../stores-fixture.ts";
import { describeModelStore } from "./store.contract.ts";

describeModelStore("PostgreSQL", startPostgresStores);
