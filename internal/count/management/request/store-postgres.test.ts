import { startManagement } from "../management-fixture.ts";
import { createPostgresRequestStore } from "./store-postgres.ts";
import { describeRequestStore } from "./store.contract.ts";

describeRequestStore("PostgreSQL", async () => {
  const management = await startManagement();
  return {
    database: management.info,
    storeOf: (windowMs) => createPostgresRequestStore({ sql: management.info.sql, windowMs }),
    [Symbol.asyncDispose]: () => management[Symbol.asyncDispose](),
  };
});
