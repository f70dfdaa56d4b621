import { startPostgresStore } from "../store-fixture.ts";
import { describeScopeStore } from "./store.contract.ts";
import { postgresScopeStore } from "./store-postgres.ts";

describeScopeStore("PostgreSQL", () => startPostgresStore(postgresScopeStore));
