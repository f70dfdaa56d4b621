import { expect, test } from "bun:test";
import { eventually } from "../testing/eventually.ts";
import { startLossyProxy } from "../testing/lossy-proxy.ts";
import { environmentOf } from "../testing/mutant-process.ts";
import { sharedPostgres } from "../testing/postgres.ts";
import { openDatabase } from "./open-database.ts";

const words = ["a", "", "NULL", "a b", "a,b", `"`, "\\", `\\"{}`, "two\nlines", "한글", null];
const uuids = ["0190a6b2-7c3e-7d4f-8a5b-6c7d8e9f0a1b"];

test("arrays go and come as they are", async () => {
  const database = openDatabase({ url: await (await sharedPostgres()).createDatabase(), applicationName: "test" });
  const [row] = await database.sql`
    SELECT ${words}::text[] AS words, ${uuids}::uuid[] AS uuids, ${["1", "9223372036854775807"]}::bigint[] AS bigints,
      ${[7, -9_007_199_254_740_991, null]}::bigint[] AS numbers,
      ${[]}::text[] AS none, ${[]}::bigint[] AS nothing`;
  expect(row).toEqual({
    words,
    uuids,
    bigints: ["1", "9223372036854775807"],
    numbers: ["7", "-9007199254740991", null],
    none: [],
    nothing: [],
  });
  await database.stop();
});

test("a server that dies at a connection's first words leaves no rejection unheard", async () => {
  const url = new URL(await (await sharedPostgres()).createDatabase());
  const proxy = startLossyProxy(Number(url.port));
  url.port = `${proxy.port}`;
  const database = openDatabase({ url: url.href, applicationName: "test" });
  proxy.loseReply(3); // Those of the sign-in.
  const statement = database.sql`SELECT 1`.catch((error: unknown) => error);
  await eventually(() => expect(proxy.lost()).toBe(1));
  proxy[Symbol.dispose]();
  expect(await statement).toMatchObject({ code: "unavailable" }); // A rejection that nobody heard would end the test before.
  await database.stop();
});

/** Times that the test is tried with the mutant: where the words of the sign-in come together, the connection is lost after them. */
const mutantTriesMax = 5;

test("mutant: a driver that asks for types leaves one", async () => {
  for (let tries = 1; !(await leavesOne()); tries++) expect(tries).toBeLessThan(mutantTriesMax);
});

/** Whether the test fails, in a process of its own, when the driver asks for types. */
async function leavesOne(): Promise<boolean> {
  const file = `${import.meta.dir}/open-database.ts`;
  const run = Bun.spawn(
    [process.execPath, "test", "--timeout", "30000", import.meta.path, "-t", "a server that dies"],
    {
      env: environmentOf({ file, from: "fetch_types: false", to: "fetch_types: true" }),
      stdin: "ignore",
      stdout: "ignore",
      stderr: "pipe",
    },
  );
  const output = await new Response(run.stderr).text();
  return (await run.exited) === 1 && output.includes("(fail) a server that dies");
}
