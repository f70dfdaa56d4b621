import { startUser } from "../user-fixture.ts";
import { postgresErasureStore } from "./store-postgres.ts";
import { describeErasureStore } from "./store.contract.ts";

describeErasureStore("PostgreSQL", async () => {
  const user = await startUser();
  return {
    database: user.database,
    erasures: postgresErasureStore,
    newPerson: async () => (await user.signUp()).id,
    [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
  };
});
