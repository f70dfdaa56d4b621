import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import type { WatchedSum, WatchFailure, WatchRun } from "./rules.ts";
import type { WatchStore } from "./store.ts";

/** A store of sums to be tried, and the database whose transactions it works in. */
export interface StartedWatchStore extends AsyncDisposable {
  readonly database: Pick<Database, "transaction">;
  readonly watch: WatchStore;
  /** Makes a Count, nothing of which was watched yet. */
  addCount(countId: string): Promise<void>;
}

let ids = 0;
const fresh = { sum: 0n, sumRevision: 0n, sinceRevision: 0n, gapRevision: 0n, differRevision: 0n };

/** Increments by one, from one revision to another. */
const runOf = (countId: string, first: number, last: number, more: Partial<WatchRun> = {}): WatchRun => {
  const deltas = Array.from({ length: last - first + 1 }, () => 1);
  return {
    countId,
    epoch: 0,
    firstRevision: first,
    lastRevision: last,
    deltas,
    delta: deltas.length,
    value: last,
    consistent: true,
    gapRevision: 0,
    ...more,
  };
};

/** What every store of sums does. */
export function describeWatchStore(name: string, start: () => Promise<StartedWatchStore>): void {
  describe(`a store of sums: ${name}`, () => {
    let started: StartedWatchStore;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const newCount = async (): Promise<string> => {
      const countId = `s${String((ids += 1)).padStart(3, "0")}`;
      await started.addCount(countId);
      return countId;
    };
    const advance = (...runs: readonly WatchRun[]): Promise<readonly WatchFailure[]> =>
      started.database.transaction((tx) => started.watch.advance(tx, runs));
    const sumOf = async (countId: string): Promise<Omit<WatchedSum, "countId" | "watchTimeMs"> | undefined> => {
      const [sum] = await started.watch.list(countId, "", 1);
      if (sum === undefined) return undefined;
      const { countId: _, watchTimeMs, ...rest } = sum;
      expect(watchTimeMs === undefined).toBe(rest.sumRevision === 0n && rest.gapRevision === 0n);
      return rest;
    };
    test("advances by what follows, and passes over what it has reached", async () => {
      const countId = await newCount();
      expect(await sumOf(countId)).toEqual(fresh);
      expect(await advance(runOf(countId, 1, 3))).toEqual([]);
      expect(await advance(runOf(countId, 1, 3), runOf(await newCount(), 1, 1))).toEqual([]);
      expect(await advance(runOf(countId, 2, 5))).toEqual([]);
      expect(await sumOf(countId)).toEqual({ ...fresh, sum: 5n, sumRevision: 5n });
    });

    test("tells of a gap once, and stays where it is until the gap is closed", async () => {
      const countId = await newCount();
      await advance(runOf(countId, 1, 1));
      expect(await advance(runOf(countId, 3, 3))).toEqual([{ countId, kind: "gap", revision: 3n }]);
      expect(await advance(runOf(countId, 4, 4))).toEqual([]);
      expect(await sumOf(countId)).toEqual({ ...fresh, sum: 1n, sumRevision: 1n, gapRevision: 3n });
      await advance(runOf(countId, 2, 4));
      expect(await sumOf(countId)).toMatchObject({ sum: 4n, sumRevision: 4n });
    });

    test("keeps the first difference, and tells of it once", async () => {
      const countId = await newCount();
      const difference = { countId, kind: "difference", revision: 2n } as const;
      expect(await advance(runOf(countId, 1, 2, { consistent: false }))).toEqual([difference]);
      expect(await advance(runOf(countId, 3, 3, { value: 9 }))).toEqual([]);
      expect(await sumOf(countId)).toMatchObject({ sumRevision: 3n, differRevision: 2n });
    });

    test("begins anew with a later generation of the counts store, and passes over an earlier one", async () => {
      const countId = await newCount();
      await advance(runOf(countId, 1, 9));
      expect(await advance(runOf(countId, 4, 5, { epoch: 1, value: 30 }))).toEqual([]);
      const anew = { ...fresh, sum: 30n, sumRevision: 5n, sinceRevision: 5n };
      expect(await sumOf(countId)).toEqual(anew);
      expect(await advance(runOf(countId, 6, 12))).toEqual([]);
      expect(await sumOf(countId)).toEqual(anew);
      await advance(runOf(countId, 6, 7, { epoch: 1, value: 32 }));
      expect(await sumOf(countId)).toEqual({ ...anew, sum: 32n, sumRevision: 7n });
      const young = await newCount();
      await advance(runOf(young, 1, 2, { epoch: 2 }));
      await advance(runOf(young, 3, 3, { epoch: 1 }));
      expect(await sumOf(young)).toEqual({ ...fresh, sum: 2n, sumRevision: 2n });
    });

    test("nothing of a transaction that failed is kept", async () => {
      const countId = await newCount();
      const failing = started.database.transaction(async (tx) => {
        await started.watch.advance(tx, [runOf(countId, 1, 1)]);
        throw new Error("no");
      });
      expect(await failing.catch((error: Error) => error.message)).toBe("no");
      expect(await sumOf(countId)).toEqual(fresh);
    });

    test("begins anew where it has not reached the value, and nowhere else", async () => {
      const [behind, equal] = [await newCount(), await newCount()];
      await advance(runOf(behind, 1, 1), runOf(equal, 1, 4));
      const stored = { value: 30n, revision: 4n };
      const [a, b] = [await started.watch.list(behind, "", 1), await started.watch.list(equal, "", 1)];
      await started.watch.restart([...a, ...b].map((watched) => ({ watched, stored })));
      expect(await sumOf(behind)).toEqual({ ...fresh, sum: 30n, sumRevision: 4n, sinceRevision: 4n });
      expect(await sumOf(equal)).toEqual({ ...fresh, sum: 4n, sumRevision: 4n });
    });

    test("lists page by page, in the order of the ids", async () => {
      const made = [await newCount(), await newCount(), await newCount()];
      const listed: string[] = [];
      for (let after = ""; ;) {
        const page = await started.watch.list("s", after, 2);
        listed.push(...page.map(({ countId }) => countId));
        if (page.length < 2) break;
        after = page.at(-1)!.countId;
      }
      expect(listed).toEqual(listed.toSorted());
      expect(listed.slice(-3)).toEqual(made);
    });
  });
}
