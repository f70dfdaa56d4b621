import { startPostgresStores } from "../stores-fixture.ts";
import { describePersonStore } from "./store.contract.ts";

describePersonStore("PostgreSQL", startPostgresStores);
