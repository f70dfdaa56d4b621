import { startPostgresStores } from "../stores-postgres-fixture.ts";
import { describeBranchStore } from "./store.contract.ts";

describeBranchStore("PostgreSQL", startPostgresStores);
