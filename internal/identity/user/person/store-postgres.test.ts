import { startUser } from "../user-fixture.ts";
import { createPostgresPersonStore } from "./store-postgres.ts";
import { describePersonStore } from "./store.contract.ts";

describePersonStore("PostgreSQL", async () => {
  const user = await startUser();
  return {
    database: user.database,
    people: createPostgresPersonStore(user.database),
    [Symbol.asyncDispose]: () => user[Symbol.asyncDispose](),
  };
});
