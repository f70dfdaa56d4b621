import { expect, test } from "bun:test";
import { join } from "node:path";
import { openDatabase } from "../postgres/open-database.ts";
import { openRedis } from "../redis/open-redis.ts";
import { createMetrics } from "../telemetry/create-metrics.ts";
import { eventually } from "../testing/eventually.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { silentLog } from "../testing/local-stores.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { sharedPostgres } from "../testing/postgres.ts";
import { startRedis } from "../testing/redis.ts";
import { createStoreSizes } from "./store-sizes.ts";

type Services = Parameters<typeof createStoreSizes>[0]["services"];

const soon = (check: () => Promise<void> | void): Promise<void> => eventually(check, { timeoutMs: 4000 });

/** What is told of a server with a table of three rows in two partitions and a Redis server that fills. */
async function told(create: typeof createStoreSizes): Promise<void> {
  await using redis = await startRedis({
    appendfsync: "no",
    args: ["--maxmemory", "8mb", "--maxmemory-policy", "noeviction"],
  });
  await using stack = new AsyncDisposableStack();
  const database = openDatabase({ url: await (await sharedPostgres()).createDatabase(), applicationName: "sizes" });
  stack.defer(() => database.stop());
  await database.sql`CREATE TABLE things (n int) PARTITION BY LIST (n)`;
  await database.sql`CREATE TABLE things_1 PARTITION OF things FOR VALUES IN (1)`;
  await database.sql`CREATE TABLE things_2 PARTITION OF things FOR VALUES IN (2)`;
  await database.sql`INSERT INTO things VALUES (1), (2), (2)`;
  await database.sql`ANALYZE things`;
  const store = openRedis({ url: redis.url, name: "sizes" });
  await store.start();
  stack.defer(() => store.stop());
  const clock = createHeldClock();
  const metrics = createMetrics();
  const services = [
    { info: { name: "one" }, stores: [{ decl: { kind: "postgres", access: "owner" }, handle: database }] },
    { info: { name: "two" }, stores: [{ decl: { kind: "redis", server: "counts", role: "primary" }, handle: store }] },
  ] as unknown as Services;
  const sizes = create({ services, others: [], clock, log: silentLog, metrics });
  stack.defer(async () => {
    clock.release();
    await sizes.stop();
  });
  await sizes.start();
  await soon(async () => {
    const text = await metrics.render();
    expect(text).toContain('muin_table_rows{service="one",table="things"} 3');
    expect(text).toMatch(/muin_table_bytes\{service="one",table="things"\} [1-9]\d{3,}/);
    expect(text).toMatch(/muin_redis_used_bytes\{server="counts"\} \d{6,}/);
    expect(text).toContain('muin_redis_max_bytes{server="counts"} 8388608');
  });
  expect(sizes.reasons()).toEqual([]);
  for (let key = 0; ; key += 1) {
    const refused = await store.client.set(`key ${key}`, "x".repeat(100_000)).then(
      () => false,
      () => true,
    );
    if (refused) break;
  }
  await clock.pass(10_000);
  const full =
    /^redis counts: (9\d|1\d\d) % of its memory is used, \d+ of 8388608 bytes; beyond it writes are refused$/;
  await soon(() => expect(sizes.reasons()).toEqual([expect.stringMatching(full) as unknown as string]));
  await store.client.flushall();
  await clock.pass(10_000);
  await soon(() => expect(sizes.reasons()).toEqual([]));
}

test("tables and memory are measured, and a Redis server is told of before it refuses writes", () =>
  told(createStoreSizes));

test.each([
  ["nobody is told of a full server", "percent < fullPercent", "percent < 1e6"],
  ["a server stays full", "return void full.delete(server)", "return"],
  ["tables are not measured", "services.map(lookAtTables)", "[]"],
])("mutant: %s", async (_, from, to) => {
  const file = join(import.meta.dir, "store-sizes.ts");
  const mutant = await importMutant<{ createStoreSizes: typeof createStoreSizes }>(file, from, to);
  await caught(() => told(mutant.createStoreSizes));
});
