import { startPostgresStores } from "../stores-postgres-fixture.ts";
import { describeOwnerStore } from "./store.contract.ts";

describeOwnerStore("PostgreSQL", startPostgresStores);
