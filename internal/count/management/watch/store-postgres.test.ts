import { startManagement } from "../management-fixture.ts";
import { createPostgresWatchStore } from "./store-postgres.ts";
import { describeWatchStore } from "./store.contract.ts";

describeWatchStore("PostgreSQL", async () => {
  const management = await startManagement();
  return {
    database: management.info,
    watch: createPostgresWatchStore(management.info),
    addCount: async (countId) => {
      await management.client.createCount({ countId });
    },
    [Symbol.asyncDispose]: () => management[Symbol.asyncDispose](),
  };
});
