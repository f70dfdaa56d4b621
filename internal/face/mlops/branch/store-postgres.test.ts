import { startPostgresStores } from "../stores-fixture.ts";
import { describeBranchStore } from "./store.contract.ts";

describeBranchStore("PostgreSQL", startPostgresStores);
