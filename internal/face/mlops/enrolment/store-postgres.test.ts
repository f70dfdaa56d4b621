import { startPostgresStores } from "../stores-fixture.ts";
import { describeEnrolmentStore } from "./store.contract.ts";

describeEnrolmentStore("PostgreSQL", startPostgresStores);
