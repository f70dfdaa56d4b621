import { startUser } from "../user-fixture.ts";
import { createPostgresErasureStore } from "./store-postgres.ts";
import { describeErasureStore } from "./store.contract.ts";

describeErasureStore("PostgreSQL", async () => {
  const user = await startUser();
  return {
    database: user.database,
    erasures: createPostgresErasureStore(user.database),
    newPerson: async () => (await user.signUp()).id,
    [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
  };
});
