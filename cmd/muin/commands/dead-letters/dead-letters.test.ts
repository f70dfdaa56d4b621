import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type postgres from "postgres";
import { CountManagementService } from "../../../../internal/gen/muin/count/v1/count_management_service_pb.ts";
import { CountWriteService } from "../../../../internal/gen/muin/count/v1/count_write_service_pb.ts";
import { eventually } from "../../../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../../../internal/platform/testing/muin.ts";

setDefaultTimeout(90_000);

/** One of its events cannot be handled: the row that it changes is refused, by a trigger that an operator made by mistake. */
const mistake = `
  CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'no sums today'; END $$;
  CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON count_watch FOR EACH ROW EXECUTE FUNCTION refuse()`;

let muin: TestMuin;
let sql: postgres.Sql;
beforeAll(async () => {
  muin = await startMuin();
  sql = await muin.openTables("count_info", "count_management_schema");
});
afterAll(async () => {
  await sql.end({ timeout: 1 });
  await muin[Symbol.asyncDispose]();
});

test("events that a consumer cannot handle are parked, listed, and redriven in order by the command line", async () => {
  const write = muin.client(CountWriteService);
  await muin.client(CountManagementService).createCount({ countId: "watched" });
  const isWatched = () =>
    eventually(
      async () => {
        const { code, stdout } = await muin.run("counts", "verify");
        expect({ code, stdout }).toEqual({ code: 0, stdout: "1 equal, 0 behind, 0 different\n" });
      },
      { timeoutMs: 30_000 },
    );
  await isWatched();

  await sql.unsafe(mistake);
  for (const delta of [1n, 2n, 3n]) await write.increment({ countId: "watched", delta });
  const parked = await eventually(
    async () => {
      const letters = await muin.rows("dead-letters", "list", "--service", "count-management");
      expect(letters).toHaveLength(3);
      return letters;
    },
    { timeoutMs: 60_000 },
  );
  // The first was tried and given up; the others of its key wait behind it, untried.
  expect(parked.map(({ attempts }) => attempts)).toEqual([8, 0, 0]);
  expect(parked[0]).toMatchObject({ service: "count-management", topic: "count.value" });
  expect(new Set(parked.map(({ subject }) => subject)).size).toBe(1);
  const shown = await muin.run("dead-letters", "list");
  expect(shown.stdout).toMatch(/^PARKED +SERVICE +TOPIC +KEY +ATTEMPTS +REASON$/m);
  const status = await muin.run("status", "--json");
  expect(status.stdout).toContain('"dead_letters":3');

  // Redriven while the cause is still there: it stays, and so does what waits behind it.
  expect(await muin.rows("dead-letters", "redrive", "count-management")).toEqual([{ redriven: 3 }]);
  await write.increment({ countId: "watched", delta: 4n });
  await eventually(async () => expect(await muin.rows("dead-letters", "list")).toHaveLength(4), { timeoutMs: 60_000 });

  await sql.unsafe("DROP TRIGGER refuse ON count_watch");
  expect(await muin.rows("dead-letters", "redrive", "count-management")).toEqual([{ redriven: 4 }]);
  await write.increment({ countId: "watched", delta: 5n });
  await eventually(async () => expect(await muin.rows("dead-letters", "list")).toEqual([]), { timeoutMs: 30_000 });
  // An order that was broken would show as a gap in the revisions.
  await isWatched();
  const [watch] = await sql`SELECT sum, sum_revision, gap_revision, differ_revision FROM count_watch
    WHERE count_id = 'watched'`;
  expect(watch).toMatchObject({ sum: "15", sum_revision: "6", gap_revision: "0", differ_revision: "0" });
});

test("a replay handles everything again in a new generation, and a republish announces every Count", async () => {
  const watch = async () => (await sql`SELECT sum, sum_revision FROM count_watch WHERE count_id = 'watched'`)[0];
  // What is newer has an effect, here all; what was handled before the loss is handled once more.
  await sql`DELETE FROM count_watch WHERE count_id = 'watched'`;
  expect(await muin.rows("events", "replay", "count-management", "count.value")).toEqual([{ generation: 2 }]);
  await eventually(async () => expect(await watch()).toMatchObject({ sum: "15", sum_revision: "6" }), {
    timeoutMs: 30_000,
  });
  // What is not newer has none.
  expect(await muin.rows("events", "replay", "count-management", "count.value")).toEqual([{ generation: 3 }]);
  expect(await watch()).toMatchObject({ sum: "15", sum_revision: "6" });

  const tail = muin.begin(["events", "tail", "count.info", "--json"]);
  // The tail has begun once it shows an event; a republish is harmless however often it happens.
  let isShown = false;
  void tail.shows('"watched"').then(() => (isShown = true));
  await eventually(
    async () => {
      expect(await muin.rows("events", "republish", "count.info")).toEqual([{ republished: 1 }]);
      expect(isShown).toBe(true);
    },
    { timeoutMs: 30_000 },
  );
  tail.signal("SIGINT");
  await tail.ended;
});

test("a value that is not the sum of its changes fails verify, and shows in the metrics", async () => {
  const verdicts = async (): Promise<readonly string[]> => {
    const metrics = await (await fetch(`${muin.operator}/metrics`)).text();
    return metrics.split("\n").filter((line) => line.startsWith('muin_count_watch_counts{verdict="different"'));
  };
  await sql`UPDATE count_watch SET sum = sum - 1 WHERE count_id = 'watched'`;
  const { code, stdout, stderr } = await muin.run("counts", "verify");
  expect({ code, stdout }).toEqual({
    code: 1,
    stdout: expect.stringMatching(/^watched +different +15 +6 +14/m) as string,
  });
  expect(stderr).toContain("this must not happen");
  // The metric follows within a round over all Counts.
  await eventually(async () => expect(await verdicts()).toEqual([expect.stringMatching(/ 1$/)]), { timeoutMs: 30_000 });
});
