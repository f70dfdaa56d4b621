import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { catalog } from "../catalog.ts";
import { cacheKeys } from "../count/read/info/store-redis.ts";
import { keys } from "../platform/events/redis/keys.ts";
import { silentLog } from "../platform/events/redis/redis-broker-fixture.ts";
import { topology } from "../platform/catalog/topology.ts";
import { noncePattern } from "../platform/identity/nonces.ts";
import { leaseKey } from "../platform/lease/redis/lease-key.ts";
import { migrate } from "../platform/postgres/migrate.ts";
import { openDatabase } from "../platform/postgres/open-database.ts";
import { readTableSizes } from "../platform/postgres/table-sizes.ts";
import { caught } from "../platform/testing/mutant.ts";
import { startPostgres, type TestPostgres } from "../platform/testing/postgres.ts";

const guide = fileURLToPath(new URL("../../cmd/muin/GROWTH.md", import.meta.url));
const keySchema = fileURLToPath(new URL("../count/shared/key-schema.ts", import.meta.url));
const platformOwner = "every service";

/** Rows of the table under a heading of the guide, as texts of their cells. */
async function rowsOf(heading: string): Promise<readonly (readonly string[])[]> {
  const section = (await readFile(guide, "utf8")).split(/^## /m).find((text) => text.startsWith(heading)) ?? "";
  const lines = section.split("\n").filter((line) => line.startsWith("|"));
  return lines.slice(2).map((line) =>
    line
      .split("|")
      .slice(1, -1)
      .map((cell) => cell.trim()),
  );
}

let postgres: TestPostgres;
beforeAll(async () => {
  postgres = await startPostgres();
});
afterAll(() => postgres.stop());

/** Tables that the migrations of all services make, as "service table". */
async function tablesMade(more: readonly string[] = []): Promise<readonly string[]> {
  const made = new Set<string>();
  for (const info of catalog) {
    for (const decl of Object.values(info.stores)) {
      if (decl.kind !== "postgres" || decl.access !== "owner") continue;
      const url = await postgres.createDatabase();
      await migrate({ url, migrations: decl.migrations, log: silentLog });
      const database = openDatabase({ url, applicationName: "growth" });
      for (const table of more) await database.sql`CREATE TABLE ${database.sql(table)} (n int)`;
      for (const { table } of await readTableSizes(database)) {
        made.add(table.startsWith("platform.") ? `${platformOwner} ${table}` : `${info.name} ${table}`);
      }
      await database.stop();
    }
  }
  return [...made].toSorted();
}

describe("what grows", () => {
  test("names every folder that a service keeps, and no other", async () => {
    const kept = /^`<data-dir>\/services\/(.+)`$/;
    const named = (await rowsOf("Files")).flatMap(([file = ""]) => kept.exec(file)?.[1] ?? []);
    const declared = topology(catalog).services.flatMap(({ stores }) =>
      stores.filter(({ kind }) => kind === "folder").map(({ at }) => at),
    );
    expect(named.toSorted()).toEqual(declared.toSorted());
  });

  test("names every table that a migration makes, and no other, each with its bound", async () => {
    const rows = await rowsOf("Tables");
    const named = rows.map(([service, table]) => `${service} ${table}`).toSorted();
    expect(named).toEqual([...(await tablesMade())]);
    await caught(async () => expect(named).toEqual([...(await tablesMade(["forgotten"]))]));
    for (const [, table, bound] of rows)
      expect({ table, isSaid: (bound ?? "").length > 5 }).toEqual({ table, isSaid: true });
  });

  test("names every key of the counts store, of the cache, of the bus, of the leases and of nonces", async () => {
    const named = new Set((await rowsOf("Keys")).map(([, key]) => (key ?? "").replaceAll("`", "")));
    const schema = await readFile(keySchema, "utf8");
    const counts = [...schema.matchAll(/^ \* \| `(count:[^`]+)`/gm)].map(([, key]) => key ?? "");
    expect(counts.length).toBeGreaterThan(7);
    const [service, topic, partition] = ["<service>", "<topic>", Number.NaN];
    const bus = [
      keys.meta,
      keys.groups(service),
      keys.lease("<name>"),
      keys.topic(topic),
      keys.stream(topic, partition),
      keys.group(service, topic),
      keys.members(service, topic),
      keys.parked(service, topic, partition),
      keys.parkedKeys(service, topic, partition),
      keys.redriven(service, topic, partition),
      leaseKey("<name>"),
    ];
    expect(Object.keys(keys)).toHaveLength(10);
    for (const pattern of [...cacheKeys, noncePattern("<service>")]) {
      const [start = ""] = pattern.split("*");
      expect([...named].filter((key) => key.startsWith(start))).not.toEqual([]);
    }
    const missing = [...counts, ...bus.map((key) => key.replace("NaN", "<partition>"))].filter(
      (key) => !named.has(key),
    );
    expect(missing).toEqual([]);
  });
});
