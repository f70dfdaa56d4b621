import { startPostgresStores } from "../stores-fixture.ts";
import { describeGalleryStore } from "./store.contract.ts";

describeGalleryStore("PostgreSQL", startPostgresStores);
