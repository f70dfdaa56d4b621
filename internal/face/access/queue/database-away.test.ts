import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../../platform/clock/clock.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { startPostgres, type TestPostgres } from "../../../platform/testing/postgres.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { reader, seenAgain, startAccess } from "../access-fixture.ts";

setDefaultTimeout(60_000);

let postgres: TestPostgres;
let redis: TestRedis;
beforeAll(async () => {
  [postgres, redis] = await Promise.all([startPostgres(), startRedis({ appendfsync: "no" })]);
});
afterAll(async () => {
  await Promise.all([postgres.stop(), redis.stop()]);
});

test("a door decides while PostgreSQL is away, and each entry is recorded once it is there again", async () => {
  await using service = await startAccess(redis.url, { database: await postgres.createDatabase() });
  const branchId = await service.newBranch();
  const member = await service.newMember(branchId);
  const device = service.newDevice(branchId);
  const decide = async (): Promise<string> => {
    const { memberId, entryId } = await service.identify(device, { embedding: seenAgain(member.embedding) });
    expect(memberId).toBe(member.id);
    return entryId;
  };
  const before = await decide();
  await eventually(() => service.entry(before));
  await postgres.kill("SIGKILL");
  const meanwhile: string[] = [];
  for (let at = 0; at < 20; at += 1) meanwhile.push(await decide());
  await postgres.restart();
  await eventually(() => service.entry(meanwhile.at(-1)!), { timeoutMs: 30_000 });
  const { entries } = await service.entries(reader).listEntries({ filter: { branchId }, pageSize: 100 });
  expect(entries.map(({ entryId }) => entryId).toSorted()).toEqual([before, ...meanwhile].toSorted());
});

test("entries whose time is over are removed, and nothing else", async () => {
  const database = await postgres.createDatabase();
  const agoMs = 91 * 86_400_000;
  const past = { ...systemClock, now: () => systemClock.now() - agoMs };
  await using old = await startAccess(redis.url, { database, clock: past, config: { entryRetentionDays: 10_000 } });
  const branchId = await old.newBranch();
  const device = old.newDevice(branchId);
  const { entryId } = await old.identify(device, {});
  await eventually(() => old.entry(entryId));
  await old.stopWork();
  // The same database, at the present time.
  await using service = await startAccess(redis.url, { database, config: { entryRetentionDays: 90 } });
  const { entryId: present } = await service.identify(device, {});
  await eventually(async () => {
    const { entries } = await service.entries(reader).listEntries({ filter: { branchId } });
    expect(entries.map((entry) => entry.entryId)).toEqual([present]);
  });
});
