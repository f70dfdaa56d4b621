import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create, toBinary } from "@bufbuild/protobuf";
import { CountCheckState } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { CountsChangedSchema, type CountsChanged } from "../../../gen/muin/count/v1/count_value_events_pb.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { Handled } from "../../../platform/service/parts.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { keysOf, shardOf } from "../../shared/key-schema.ts";
import type { EventRecord } from "../../../platform/service/event-record.ts";
import { readChanges } from "./read-changes.ts";
import { runsOf, type ToldChanges } from "./rules.ts";
import { fixtureShards, startManagement, type ManagementFixture } from "../management-fixture.ts";
import { createPostgresWatchStore } from "./store-postgres.ts";
import type { WatchStore } from "./store.ts";

let service: ManagementFixture;
let watch: WatchStore;
beforeAll(async () => {
  service = await startManagement();
  watch = createPostgresWatchStore(service.info);
});
afterAll(() => service[Symbol.asyncDispose]());

let ids = 0;
const newId = (): string => `w${(ids += 1)}`;

/** A message of changes, each [count_id, delta, value, revision]. */
function message(...changes: readonly (readonly [string, number, number, number])[]): CountsChanged {
  return create(CountsChangedSchema, {
    shard: "0",
    changes: changes.map(([countId, delta, value, revision]) => ({
      countId,
      delta: BigInt(delta),
      value: BigInt(value),
      revision: BigInt(revision),
    })),
  });
}

/** What the watch reads of a message. */
const told = (changed: CountsChanged): ToldChanges => ({
  epoch: 0,
  changes: readChanges(toBinary(CountsChangedSchema, changed)),
});

/** Hands a message to the service's consumer. */
async function deliver(changed: CountsChanged): Promise<void> {
  const consumer = service.parts.find((part): part is Handled => part.part === "handled");
  const record = { epoch: 0, data: toBinary(CountsChangedSchema, changed) } as EventRecord;
  const delivery: Pick<Delivery, "record"> = { record };
  await consumer?.handle(changed, delivery as Delivery);
}

/** A Count whose value in the counts store is as given. */
async function countAt(value: number, revision: number): Promise<string> {
  const countId = newId();
  await service.client.createCount({ countId });
  await setStored(countId, value, revision);
  return countId;
}
async function setStored(countId: string, value: number, revision: number): Promise<void> {
  const key = keysOf(shardOf(countId, fixtureShards)).states;
  const bytes = (await service.counts.client.hgetBuffer(key, countId)) as Buffer;
  bytes.writeDoubleLE(value, 1);
  bytes.writeDoubleLE(revision, 9);
  await service.counts.client.hset(key, countId, bytes);
}

const checkOf = async (countId: string): Promise<string> => {
  const { checks } = await service.client.verifyCounts({ prefix: countId, pageSize: 1 });
  const [check] = checks;
  const state = Object.entries(CountCheckState).find(([, value]) => value === check?.state)?.[0];
  return `${state} ${check?.sum}@${check?.sumRevision} of ${check?.value}@${check?.revision} since ${check?.sinceRevision}`;
};
const failures = async (): Promise<readonly string[]> =>
  (await service.metrics.render()).split("\n").filter((line) => line.startsWith("muin_count_watch_failures_total{"));

describe("the sum of a Count's changes", () => {
  test("equals the value at the same revision, and is behind until the events have come", async () => {
    const countId = await countAt(12, 3);
    expect(await checkOf(countId)).toBe("BEHIND 0@0 of 12@3 since 0");
    await deliver(message([countId, 0, 0, 1], [countId, 5, 5, 2]));
    expect(await checkOf(countId)).toBe("BEHIND 5@2 of 12@3 since 0");
    await deliver(message([countId, 7, 12, 3]));
    expect(await checkOf(countId)).toBe("EQUAL 12@3 of 12@3 since 0");
  });

  test("takes the changes of many Counts in one message, in their order", async () => {
    const [a, b] = [await countAt(3, 3), await countAt(-4, 2)];
    await deliver(message([a, 1, 1, 1], [b, -1, -1, 1], [a, 1, 2, 2], [b, -3, -4, 2], [a, 1, 3, 3]));
    expect([await checkOf(a), await checkOf(b)]).toEqual(["EQUAL 3@3 of 3@3 since 0", "EQUAL -4@2 of -4@2 since 0"]);
  });

  test("ignores what it has seen: the same changes again, older ones and a part of them, and keeps no row of an event", async () => {
    const countId = await countAt(3, 3);
    const [first, second] = [message([countId, 1, 1, 1]), message([countId, 1, 2, 2], [countId, 1, 3, 3])];
    const part = message([countId, 1, 2, 2]);
    for (const changed of [first, first, second, first, second, part]) await deliver(changed);
    expect(await checkOf(countId)).toBe("EQUAL 3@3 of 3@3 since 0");
    expect([...(await service.info.sql`SELECT * FROM platform.inbox`)]).toEqual([]);
  });

  test("stands still at a missing revision, which is a failure until it comes", async () => {
    const countId = await countAt(4, 4);
    const before = (await failures()).length;
    await deliver(message([countId, 1, 1, 1]));
    await deliver(message([countId, 1, 3, 3]));
    await deliver(message([countId, 1, 4, 4]));
    expect(await checkOf(countId)).toBe("GAP 1@1 of 4@4 since 0");
    expect((await failures()).length).toBe(before + 1);
    expect((await failures()).join()).toContain('kind="gap"');
    for (const revision of [2, 3, 4]) await deliver(message([countId, 1, revision, revision]));
    expect(await checkOf(countId)).toBe("EQUAL 4@4 of 4@4 since 0");
  });

  test("shows a gap at the beginning, and one inside a message", async () => {
    const [a, b] = [await countAt(2, 2), await countAt(3, 3)];
    await deliver(message([a, 1, 2, 2], [b, 1, 1, 1], [b, 1, 3, 3]));
    expect([await checkOf(a), await checkOf(b)]).toEqual(["GAP 0@0 of 2@2 since 0", "GAP 1@1 of 3@3 since 0"]);
  });

  test.each<[string, (countId: string) => CountsChanged]>([
    ["an event whose value is not the sum", (countId) => message([countId, 1, 1, 1], [countId, 1, 7, 2])],
    ["two errors that cancel out in a message", (countId) => message([countId, 1, 5, 1], [countId, 1, 2, 2])],
  ])("shows %s, for ever", async (_, changed) => {
    const countId = await countAt(3, 3);
    await deliver(changed(countId));
    await deliver(message([countId, 1, 3, 3]));
    expect(await checkOf(countId)).toStartWith("DIFFERENT ");
    expect((await failures()).join()).toContain('kind="difference"');
  });

  test("shows a store whose value differs at the same revision, and one that has lost revisions", async () => {
    const [a, b] = [await countAt(8, 1), await countAt(1, 1)];
    await deliver(message([a, 9, 9, 1], [b, 1, 1, 1], [b, 1, 2, 2]));
    expect([await checkOf(a), await checkOf(b)]).toEqual([
      "DIFFERENT 9@1 of 8@1 since 0",
      "DIFFERENT 2@2 of 1@1 since 0",
    ]);
  });

  test("begins anew at value and revision when events were lost, also in the midst of a message", async () => {
    const countId = await countAt(30, 5);
    await deliver(message([countId, 10, 10, 1]));
    await deliver(message([countId, 5, 30, 5])); // 2 to 4 were lost.
    expect(await checkOf(countId)).toBe("GAP 10@1 of 30@5 since 0");
    const rebuilder = service.parts.find((part) => part.part === "rebuilder");
    await rebuilder?.rebuild();
    expect(await checkOf(countId)).toBe("EQUAL 30@5 of 30@5 since 5");
    await setStored(countId, 36, 8);
    await deliver(message([countId, 5, 30, 5], [countId, 1, 31, 6], [countId, 2, 33, 7], [countId, 3, 36, 8]));
    expect(await checkOf(countId)).toBe("EQUAL 36@8 of 36@8 since 5");
  });

  test("comes in pages", async () => {
    const made = [await countAt(0, 1), await countAt(0, 1), await countAt(0, 1)];
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await service.client.verifyCounts({ prefix: "w", pageSize: 2, pageToken });
      seen.push(...page.checks.map(({ countId }) => countId));
      ({ nextPageToken: pageToken } = page);
    } while (pageToken !== "");
    expect(seen).toEqual(seen.toSorted());
    expect(seen).toEqual(expect.arrayContaining(made));
    expect(seen).toHaveLength(new Set(seen).size);
  });
});

test("runs keep the first gap of a message and what leads to it", () => {
  const changed = message(["a", 1, 1, 1], ["a", 1, 2, 2], ["a", 1, 4, 4], ["a", 1, 5, 5]);
  expect(runsOf([told(changed)])).toEqual([
    {
      epoch: 0,
      countId: "a",
      firstRevision: 1,
      lastRevision: 2,
      deltas: [1, 1],
      delta: 2,
      value: 2,
      consistent: true,
      gapRevision: 4,
    },
  ]);
});

const sumAfter = async (mutant: WatchStore, ...messages: readonly CountsChanged[]): Promise<string> => {
  const countId = messages[0]?.changes[0]?.countId ?? "";
  for (const changed of messages) {
    await service.info.transaction(async (tx) => {
      await mutant.advance(tx, runsOf([told(changed)]));
    });
  }
  return checkOf(countId);
};

describe("mutant", () => {
  const path = join(import.meta.dir, "store-postgres.ts");
  const mutantOf = async (from: string, to: string): Promise<WatchStore> =>
    (
      await importMutant<{ createPostgresWatchStore: typeof createPostgresWatchStore }>(path, from, to)
    ).createPostgresWatchStore(service.info);

  test("counting a repeated event twice is found out", async () => {
    const mutant = await mutantOf(
      "WHEN MATCHED AND run.first = w.sum_revision + 1 THEN",
      "WHEN MATCHED AND run.last > 0 THEN",
    );
    const countId = await countAt(2, 1);
    const changed = message([countId, 2, 2, 1]);
    expect(await sumAfter(mutant, changed, changed)).not.toStartWith("EQUAL");
    expect(await sumAfter(watch, message([await countAt(2, 1), 2, 2, 1]))).toStartWith("EQUAL");
  });

  test("passing over a gap is found out", async () => {
    const mutant = await mutantOf(
      "WHEN MATCHED AND run.first = w.sum_revision + 1 THEN",
      "WHEN MATCHED AND run.first > w.sum_revision THEN",
    );
    const countId = await countAt(3, 3);
    expect(await sumAfter(mutant, message([countId, 1, 1, 1]), message([countId, 1, 3, 3]))).toStartWith("DIFFERENT");
  });
});
