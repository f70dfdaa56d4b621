import { startManagement } from "../management-fixture.ts";
import { createPostgresInfoStore } from "./store-postgres.ts";
import { describeInfoStore } from "./store.contract.ts";

describeInfoStore("PostgreSQL", async () => {
  const management = await startManagement();
  return {
    database: management.info,
    infos: createPostgresInfoStore(management.info),
    [Symbol.asyncDispose]: () => management[Symbol.asyncDispose](),
  };
});
