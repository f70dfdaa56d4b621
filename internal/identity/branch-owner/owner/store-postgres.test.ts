import { startPostgresStores } from "../stores-fixture.ts";
import { describeOwnerStore } from "./store.contract.ts";

describeOwnerStore("PostgreSQL", startPostgresStores);
