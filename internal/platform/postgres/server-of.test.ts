import { expect, test } from "bun:test";
import { join } from "node:path";
import postgres from "postgres";
import { caught, importMutant } from "../testing/mutant.ts";
import { serverOf } from "./server-of.ts";

/** Hosts and ports to which the driver connects. It connects to nothing here. */
const rows: readonly (readonly [url: string, host: readonly string[], port: readonly number[]])[] = [
  ["postgres://u:p@127.0.0.1/db", ["127.0.0.1"], [5432]],
  ["postgres://u:p@localhost:5433/db?sslmode=disable", ["localhost"], [5433]],
  ["postgres://u:p@[::1]:5433/db", ["::1"], [5433]],
  ["postgres://u:p@db.example/db?sslmode=verify-full", ["db.example"], [5432]],
  ["postgres://u:a@db.example,x@127.0.0.1/db", ["127.0.0.1"], [5432]],
  ["postgres://127.0.0.1#@db.example,x/db", ["127.0.0.1"], [5432]],
  ["postgres://127.0.0.1/db?host=db.example&hostaddr=192.0.2.1&port=1", ["127.0.0.1"], [5432]],
];

function expectServers(of: typeof serverOf): void {
  for (const [given, host, port] of rows) {
    const { url, options } = of(given);
    const told: Record<"host" | "port", unknown> = postgres(url, options).options;
    expect({ given, host: told.host, port: told.port }).toEqual({ given, host: [...host], port: [...port] });
  }
}

test("the driver connects to the server that the URL names, whatever else stands in it", () => expectServers(serverOf));

test("the test notices when the driver reads the host itself", async () => {
  const file = join(import.meta.dir, "server-of.ts");
  const mutant = await importMutant<{ serverOf: typeof serverOf }>(file, "options: server }", "options: {} }");
  await caught(() => expectServers(mutant.serverOf));
});
