import { startUser } from "../user-fixture.ts";
import { postgresPreferenceStore } from "./store-postgres.ts";
import { describePreferenceStore } from "./store.contract.ts";

describePreferenceStore("PostgreSQL", async () => {
  const user = await startUser();
  return {
    database: user.database,
    preferences: postgresPreferenceStore,
    newPerson: async () => (await user.signUp()).id,
    [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
  };
});
