import { afterAll, beforeAll, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { describeContract } from "../../../platform/testing/contract.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import { startAccess, type AccessFixture } from "../access-fixture.ts";
import { entryStoreContract } from "./store.contract.ts";
import { postgresEntryStore } from "./store-postgres.ts";
import type { EntryStore } from "./store.ts";

setDefaultTimeout(30_000);

let service: AccessFixture;
beforeAll(async () => {
  // Entries of the tests are old.
  service = await startAccess((await sharedRedis()).url, { config: { entryRetentionDays: 3650 } });
});
afterAll(() => service[Symbol.asyncDispose]());

describeContract("the log of entries in PostgreSQL", { tests: [entryStoreContract], skip: [] }, () => () => ({
  database: service.database,
  entries: postgresEntryStore,
}));

test("mutant: recording without the lock leaves out entries", async () => {
  const mutant = await importMutant<{ postgresEntryStore: EntryStore }>(
    join(import.meta.dir, "store-postgres.ts"),
    "record: async (tx, entries, newPseudonym) => {\n    await takeLock(tx, lockName);",
    "record: async (tx, entries, newPseudonym) => {",
  );
  const following = entryStoreContract["shows entries to who follows without a gap, however many record at once"]!;
  await caught(() => following({ database: service.database, entries: mutant.postgresEntryStore }));
});
