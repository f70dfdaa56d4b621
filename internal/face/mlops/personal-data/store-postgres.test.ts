import { startMlops } from "../mlops-fixture.ts";
import { describePersonErasureStore } from "./store.contract.ts";
import { postgresPersonErasureStore } from "./store-postgres.ts";

describePersonErasureStore("PostgreSQL", async () => {
  const { database, [Symbol.asyncDispose]: end } = await startMlops();
  return { database, personErasures: postgresPersonErasureStore, [Symbol.asyncDispose]: end };
});
