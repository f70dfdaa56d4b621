import { expect, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { EntrySchema } from "../../../gen/muin/face/v1/entry_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { createRounds } from "./rounds.ts";
import type { EntryQuery, RecordedEntry } from "./store.ts";
import * as real from "./tail.ts";

const any: EntryQuery = {
  branchId: undefined,
  memberId: undefined,
  deviceId: undefined,
  decision: undefined,
  reason: undefined,
  kind: undefined,
  fromMs: undefined,
  untilMs: undefined,
};

/** A log of entries in memory, that counts how often it is read. */
function setUp({ createEntryTail }: typeof real) {
  const recorded: RecordedEntry[] = [];
  const news = createRounds(systemClock);
  const seen = { reads: 0, atOnce: 0, atOnceMax: 0 };
  const read = async <T>(work: () => T): Promise<T> => {
    seen.reads += 1;
    seen.atOnce += 1;
    seen.atOnceMax = Math.max(seen.atOnceMax, seen.atOnce);
    await systemClock.sleep(1);
    seen.atOnce -= 1;
    return work();
  };
  const tail = createEntryTail({
    database: { sql: undefined as never },
    entries: {
      bounds: () => read(() => ({ last: BigInt(recorded.length), removed: 0n })),
      listRecorded: (_, query, after, limit) =>
        read(() =>
          recorded
            .filter(({ sequence, entry }) => sequence > after && (query.branchId ?? entry.branchId) === entry.branchId)
            .slice(0, limit),
        ),
    },
    news,
    clock: systemClock,
  });
  const record = (branchId: string): void => {
    const sequence = BigInt(recorded.length + 1);
    recorded.push({ sequence, entry: create(EntrySchema, { entryId: String(sequence), branchId }) });
    news.ring();
  };
  return { tail, record, seen };
}

/** Follows until it is aborted; what it is told, it puts into `told`. */
async function follow(
  tail: real.EntryTail,
  query: EntryQuery,
  from: bigint | undefined,
  told: string[],
  signal: AbortSignal,
) {
  using following = tail.follow(crypto.randomUUID(), signal);
  const { last } = await following.bounds();
  let position = from ?? last;
  while (!signal.aborted) {
    const next = following.next();
    const { rows, reached, hasMore } = await following.look(query, position, last);
    position = reached;
    told.push(...rows.map(({ entry }) => entry.entryId));
    if (!hasMore) await next.wait(1000, signal);
  }
}

async function checkShared(module: typeof real): Promise<void> {
  const { tail, record, seen } = setUp(module);
  const ending = new AbortController();
  const count = 200;
  const told = Array.from({ length: count }, (): string[] => []);
  const running = told.map((own, place) =>
    follow(tail, { ...any, branchId: place % 2 === 0 ? "a" : "b" }, 0n, own, ending.signal),
  );
  await eventually(() => expect(seen.reads).toBeGreaterThanOrEqual(count));
  const before = seen.reads;
  try {
    for (let n = 0; n < 20; n += 1) {
      record(n % 2 === 0 ? "a" : "b");
      await eventually(() => expect(told[n % 2]).toHaveLength(Math.floor(n / 2) + 1), { timeoutMs: 2000 });
    }
    await eventually(() => expect(told.every((own) => own.length === 10)).toBe(true), { timeoutMs: 3000 });
    for (const [place, own] of told.entries())
      expect(own).toEqual(Array.from({ length: 10 }, (_, n) => String(2 * n + 1 + (place % 2))));
    // Some are behind for a moment, and read by themselves; if each did each time, there were 4000 more.
    expect(seen.reads - before).toBeLessThan(1000);
    expect(seen.atOnceMax).toBeLessThanOrEqual(3);
  } finally {
    ending.abort();
    await Promise.all(running);
  }
}

test("what is recorded is read once for all who follow, each is told what they ask for, and few read at once", () =>
  checkShared(real));

test("who is behind is told all, and nothing twice", async () => {
  const { tail, record } = setUp(real);
  for (let n = 0; n < 1200; n += 1) record("a");
  const ending = new AbortController();
  const told: string[] = [];
  const running = follow(tail, any, 100n, told, ending.signal);
  await eventually(() => expect(told).toHaveLength(1100));
  record("a");
  await eventually(() => expect(told).toEqual(Array.from({ length: 1101 }, (_, n) => String(n + 101))));
  ending.abort();
  await running;
});

test.each([
  ["each stream reads by itself", "batch !== undefined && after >= batch.from", "batch !== undefined && false"],
  ["all who are behind read at once", "createAtOnce(readsMax)", "createAtOnce(Infinity)"],
  ["tells everybody everything", "sequence > after && isOf(query, entry)", "sequence > after"],
])("mutant: %s", async (_, from, to) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "tail.ts"), from, to);
  await caught(() => checkShared(mutant));
});
