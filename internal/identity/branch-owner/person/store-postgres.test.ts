import { startPostgresStores } from "../stores-postgres-fixture.ts";
import { describePersonStore } from "./store.contract.ts";

describePersonStore("PostgreSQL", startPostgresStores);
