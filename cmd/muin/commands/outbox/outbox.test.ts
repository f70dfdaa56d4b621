import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import type postgres from "postgres";
import { eventually } from "../../../../internal/platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../../../../internal/platform/testing/muin.ts";

setDefaultTimeout(90_000);

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

/** The state of count-management's outbox. */
async function outbox(): Promise<unknown> {
  const [status] = (await muin.rows("status")) as { outboxes: { service: string }[] }[];
  return status?.outboxes.find(({ service }) => service === "count-management");
}

async function readyz(): Promise<readonly [number, string]> {
  const response = await fetch(`${muin.operator}/readyz`);
  return [response.status, await response.text()];
}

test("an event that cannot be published is listed, others go on, and it is redriven by the command line", async () => {
  const tail = muin.begin(["events", "tail", "count.info", "--from-start", "--json"]);
  // An event of a topic that nobody knows, and a later one of its key, as a faulty release would have recorded them.
  await sql`INSERT INTO platform.outbox (event_id, source, type, subject, topic, time_ms, traceparent, data)
    SELECT 'lost-' || number, '/muin/count-management', 'muin.count.v1.CountDeleted', 'nowhere', 'count.unknown',
      1, '', ''::bytea FROM generate_series(1, 2) AS number`;
  expect(await muin.run("counts", "create", "visits")).toMatchObject({ code: 0 });
  await tail.shows('"visits"');
  const parked = await eventually(async () => {
    const listed = await muin.rows("outbox", "list");
    expect(listed).toHaveLength(2);
    return listed;
  });
  expect(parked).toEqual([
    expect.objectContaining({
      event_id: "lost-1",
      attempts: expect.any(Number),
      reason: expect.stringMatching(/unknown/),
    }),
    expect.objectContaining({
      event_id: "lost-2",
      service: "count-management",
      topic: "count.unknown",
      subject: "nowhere",
    }),
  ]);
  expect((await muin.run("outbox", "list", "--service", "count-management")).stdout).toMatch(
    /^PARKED +SERVICE +TOPIC +KEY +ATTEMPTS +REASON$/m,
  );
  await eventually(async () => expect(await outbox()).toMatchObject({ depth: 0, parked: 2 }));
  expect((await muin.run("status")).stdout).toMatch(/^count-management .*2, see muin outbox list$/m);
  await eventually(async () => expect(await (await fetch(muin.operator)).text()).toContain("2: see muin outbox list"));
  const metric = /^muin_outbox_parked\{.*service="count-management".*\} 2$/m;
  await eventually(async () => expect(await (await fetch(`${muin.operator}/metrics`)).text()).toMatch(metric));

  const degraded = "count-management: 2 events are parked, see muin outbox list";
  await eventually(async () => expect(await readyz()).toEqual([200, `ready\ndegraded: ${degraded}\n`]));
  expect(await muin.rows("status")).toMatchObject([{ ready: true, degraded: [degraded] }]);
  expect(await muin.run("status")).toMatchObject({ code: 0, stdout: expect.stringContaining(`degraded: ${degraded}`) });
  await eventually(async () =>
    expect(await (await fetch(muin.operator)).text()).toContain("Everything is ready, and degraded"),
  );

  await sql`UPDATE platform.outbox SET topic = 'count.info'`;
  expect(await muin.rows("outbox", "redrive", "count-management", "--subject", "nowhere")).toEqual([
    { redriven: expect.any(Number) as number },
  ]);
  await tail.shows('"lost-2"');
  // As a restore does it.
  await sql`UPDATE platform.epoch SET epoch = 2`;
  expect(await muin.run("counts", "create", "restored")).toMatchObject({ code: 0 });
  await tail.shows('"restored"');
  tail.signal("SIGINT");
  const { stdout } = await tail.ended;
  expect(stdout).toMatch(/"subject":"visits",.*"epoch":0,/);
  expect(stdout).toMatch(/"subject":"restored",.*"epoch":2,/);
  expect([...stdout.matchAll(/"lost-\d"/g)].map(([id]) => id)).toEqual(['"lost-1"', '"lost-2"']);
  await eventually(async () => expect(await outbox()).toMatchObject({ depth: 0, parked: 0 }));
  await eventually(async () => expect(await readyz()).toEqual([200, "ready\n"]));
  expect(await muin.run("outbox", "list")).toMatchObject({ code: 0, stdout: "" });
  expect(await muin.rows("outbox", "redrive", "count-management")).toEqual([{ redriven: 0 }]);
});
