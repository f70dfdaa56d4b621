import { startPostgresStores } from "../stores-fixture.ts";
import { describeDigestStore } from "./store.contract.ts";

describeDigestStore("PostgreSQL", startPostgresStores);
