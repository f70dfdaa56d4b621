import { expect } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import { Decision, DecisionReason, EntryKind, EntrySchema, type Entry } from "../../../gen/muin/face/v1/entry_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { TestTable } from "../../../platform/testing/contract.ts";
import type { EntryQuery, EntryStore } from "./store.ts";

/** A log of entries, and the database that it works in. */
export interface EntriesUnderTest {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly entries: EntryStore;
}

const all: EntryQuery = {
  branchId: undefined,
  memberId: undefined,
  deviceId: undefined,
  decision: undefined,
  reason: undefined,
  kind: undefined,
  fromMs: undefined,
  untilMs: undefined,
};
const baseMs = Date.parse("2026-03-01T10:00:00Z");
const entryAt = (branchId: string, ms: number, more: Omit<Partial<Entry>, "$typeName" | "$unknown"> = {}): Entry =>
  create(EntrySchema, {
    entryId: systemRandom.uuid(),
    branchId,
    deviceId: "device",
    kind: EntryKind.IDENTIFY,
    decision: Decision.DENIED,
    reason: DecisionReason.NO_MATCH,
    captureTime: timestampFromMs(baseMs + ms),
    decideTime: timestampFromMs(baseMs + ms),
    decideMicros: 1234n,
    ...more,
  });
function record({ database, entries }: EntriesUnderTest, given: readonly Entry[]): Promise<readonly Entry[]> {
  return database.transaction((tx) => entries.record(tx, given, () => `erased-${systemRandom.uuid()}`));
}

function list({ database, entries }: EntriesUnderTest, query: Partial<EntryQuery>): Promise<readonly Entry[]> {
  return entries.list(database.sql, { ...all, ...query }, undefined, 100);
}

/** Several processes record; whoever follows by sequence sees each entry once. */
async function checkFollowing({ database, entries: store }: EntriesUnderTest): Promise<void> {
  const branchId = systemRandom.uuid();
  const query = { ...all, branchId };
  const { sql } = database;
  const writing = { isOver: false };
  const seen: string[] = [];
  let { last: position } = await store.bounds(sql);
  const look = async (): Promise<void> => {
    const { last } = await store.bounds(sql);
    const rows = await store.listRecorded(sql, query, position, 1000);
    seen.push(...rows.map(({ entry }) => entry.entryId));
    position = last > (rows.at(-1)?.sequence ?? 0n) ? last : rows.at(-1)!.sequence;
  };
  const following = (async () => {
    while (!writing.isOver) await look();
    await look();
  })();
  const recorded: string[] = [];
  const writer = async (): Promise<void> => {
    for (let n = 0; n < 15; n += 1) {
      const entries = [entryAt(branchId, n), entryAt(branchId, n)];
      await database.transaction(async (tx) => {
        await store.record(tx, entries, () => "erased");
        await tx`SELECT pg_sleep(${systemRandom.fraction() / 200})`; // Transactions end in another order than they began.
      });
      recorded.push(...entries.map(({ entryId }) => entryId));
    }
  };
  await Promise.all(Array.from({ length: 5 }, writer));
  writing.isOver = true;
  await following;
  expect(seen.toSorted()).toEqual(recorded.toSorted());
}

/** What every log of entries does. */
export const entryStoreContract: TestTable<EntriesUnderTest> = {
  "records an entry once, as it is": async (under) => {
    const entry = entryAt("once", 0, {
      memberId: "ann",
      decision: Decision.GRANTED,
      searchMicros: 7n,
      snapshotAgeMs: 3n,
    });
    expect(await record(under, [entry, entry])).toEqual([entry]);
    expect(await record(under, [entry])).toEqual([]);
    expect(await under.entries.find(under.database.sql, entry.entryId)).toEqual(entry);
    expect(await under.entries.find(under.database.sql, "none")).toBeUndefined();
  },

  "lists by every filter, newest first, page after page": async (under) => {
    const branchId = systemRandom.uuid();
    const entries = [
      entryAt(branchId, 0, { memberId: "ann", decision: Decision.GRANTED, reason: DecisionReason.ADMITTED }),
      entryAt(branchId, 10, { deviceId: "other" }),
      entryAt(branchId, 20, { kind: EntryKind.EXIT, memberId: "ben", decision: 0, reason: 0 }),
      entryAt(branchId, 20),
    ];
    await record(under, entries);
    const places = async (query: Partial<EntryQuery>) =>
      (await list(under, { branchId, ...query })).map(({ entryId }) =>
        entries.findIndex((entry) => entry.entryId === entryId),
      );
    expect(new Set(await places({}))).toEqual(new Set([0, 1, 2, 3]));
    expect((await places({})).slice(2)).toEqual([1, 0]);
    expect(await places({ memberId: "ann" })).toEqual([0]);
    expect(await places({ deviceId: "other" })).toEqual([1]);
    expect(await places({ decision: Decision.GRANTED })).toEqual([0]);
    expect(await places({ kind: EntryKind.EXIT })).toEqual([2]);
    expect(new Set(await places({ reason: DecisionReason.NO_MATCH }))).toEqual(new Set([1, 3]));
    expect(await places({ fromMs: baseMs + 10, untilMs: baseMs + 20 })).toEqual([1]);
    const paged: string[] = [];
    for (let before; ;) {
      const page = await under.entries.list(under.database.sql, { ...all, branchId }, before, 1);
      const [entry] = page;
      if (entry === undefined) break;
      paged.push(entry.entryId);
      before = { decideTimeMs: timestampMs(entry.decideTime!), entryId: entry.entryId };
    }
    expect(paged).toEqual((await list(under, { branchId })).map(({ entryId }) => entryId));
  },

  "shows entries to who follows without a gap, however many record at once": (under) => checkFollowing(under),

  "removes old entries, a bounded number at a time, and says up to where": async (under) => {
    const branchId = systemRandom.uuid();
    const yearMs = 365 * 86_400_000;
    await record(
      under,
      Array.from({ length: 5 }, (_, n) => entryAt(branchId, n - yearMs)),
    );
    const remove = (ms: number, limit: number) =>
      under.database.transaction((tx) => under.entries.remove(tx, baseMs - yearMs + ms, limit));
    expect([await remove(4, 3), await remove(4, 3), await remove(4, 3)]).toEqual([3, 1, 0]);
    expect((await list(under, { branchId })).length).toBe(1);
    const { last, removed } = await under.entries.bounds(under.database.sql);
    expect([removed > 0n, removed <= last]).toEqual([true, true]);
  },

  "holds one pseudonym in the place of who was erased, and others in what comes late": async (under) => {
    const branchId = systemRandom.uuid();
    const gone = systemRandom.uuid();
    await record(under, [
      entryAt(branchId, 0, { memberId: gone }),
      entryAt(branchId, 1, { memberId: gone }),
      entryAt(branchId, 2),
    ]);
    await under.database.transaction((tx) => under.entries.erase(tx, gone, "erased-one"));
    const [late] = await record(under, [entryAt(branchId, 3, { memberId: gone })]);
    const names = (await list(under, { branchId })).map(({ memberId }) => memberId);
    expect(names).toEqual([late!.memberId, "", "erased-one", "erased-one"]);
    expect(late!.memberId).toMatch(/^erased-/);
    expect(await list(under, { memberId: gone })).toEqual([]);
  },
};
