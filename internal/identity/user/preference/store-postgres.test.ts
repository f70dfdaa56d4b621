import { startUser } from "../user-fixture.ts";
import { createPostgresPreferenceStore } from "./store-postgres.ts";
import { describePreferenceStore } from "./store.contract.ts";

describePreferenceStore("PostgreSQL", async () => {
  const user = await startUser();
  return {
    database: user.database,
    preferences: createPostgresPreferenceStore(user.database),
    newPerson: async () => (await user.signUp()).id,
    [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
  };
});
