import { startUser } from "../user-fixture.ts";
import { postgresPersonStore } from "./store-postgres.ts";
import { describePersonStore } from "./store.contract.ts";

describePersonStore("PostgreSQL", async () => {
  const user = await startUser();
  return {
    database: user.database,
    people: postgresPersonStore,
    [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
  };
});
