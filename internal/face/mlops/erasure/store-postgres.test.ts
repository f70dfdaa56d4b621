import { startErasure } from "./erasure-fixture.ts";
import { postgresErasureStore } from "./store-postgres.ts";
import { describeErasureStore } from "./store.contract.ts";

describeErasureStore("PostgreSQL", async () => {
  const { database, [Symbol.asyncDispose]: end } = await startErasure();
  return { database, erasures: postgresErasureStore, [Symbol.asyncDispose]: end };
});
