import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import type { CountContent, CountRecord } from "./record.ts";
import type { CountChange, InfoStore, NewCount } from "./store.ts";

/** A store of Counts to be tried, and the database whose transactions it works in. */
export interface StartedInfoStore extends AsyncDisposable {
  readonly database: Pick<Database, "transaction">;
  readonly infos: InfoStore;
}

const content: CountContent = {
  displayName: "Door \u{1F6AA}",
  labels: { site: "seoul", floor: "2" },
  minValue: -9_007_199_254_740_991n,
  maxValue: undefined,
};

let ids = 0;
const newId = (): string => `n${(ids += 1)}`;
const creationOf = (countId: string): NewCount => ({
  countId,
  content,
  initialValue: 9_007_199_254_740_991n,
  request: { principal: "p", requestId: "r" },
});
const recordOf = (change: CountChange): CountRecord => ({
  ...change.content,
  countId: change.countId,
  state: "ACTIVE",
  version: change.infoRevision,
  createTimeMs: change.createTimeMs,
  updateTimeMs: change.startTimeMs,
});

/** What every store of Counts does. */
export function describeInfoStore(name: string, start: () => Promise<StartedInfoStore>): void {
  describe(`a store of Counts: ${name}`, () => {
    let started: StartedInfoStore;
    let infos: InfoStore;
    let transaction: Database["transaction"];
    beforeAll(async () => {
      started = await start();
      ({ infos } = started);
      transaction = (work) => started.database.transaction(work);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const beginAll = (counts: readonly NewCount[]): Promise<readonly (CountChange | undefined)[]> =>
      transaction((tx) => infos.beginCreations(tx, counts));
    const begin = async (count: NewCount): Promise<CountChange> => {
      const [change] = await beginAll([count]);
      if (change === undefined) throw new Error(`there is a ${count.countId}`);
      return change;
    };
    /** An ACTIVE Count at version 1, with nothing on its way. */
    const made = async (countId: string): Promise<CountRecord> => {
      const change = await begin(creationOf(countId));
      const record = recordOf(change);
      await transaction(async (tx) => {
        await infos.end(tx, [change]);
        await infos.save(tx, [record]);
      });
      return record;
    };

    test("creations that are rolled back or taken back leave nothing", async () => {
      const [one, other] = [newId(), newId()];
      const failing = transaction(async (tx) => {
        await infos.beginCreations(tx, [creationOf(one)]);
        throw new Error("no");
      });
      expect(await failing.catch((error: Error) => error.message)).toBe("no");
      await transaction(async (tx) => {
        const [first, second] = await infos.beginCreations(tx, [creationOf(one), creationOf(other)]);
        await infos.takeBack(tx, [first as CountChange]);
        expect(await infos.changeOf(tx, other)).toEqual(second as CountChange);
      });
      expect([await infos.get(one), (await infos.get(other))?.state]).toEqual([undefined, "PENDING"]);
      expect(await transaction((tx) => infos.lock(tx, one))).toEqual({ record: undefined, infoRevision: 0 });
      expect(await transaction((tx) => infos.changeOf(tx, one))).toBeUndefined();
    });

    test("of several only those are begun that there are none of, each with its own content", async () => {
      const there = await begin(creationOf(newId()));
      const [one, other] = [newId(), newId()];
      const odd: CountContent = { displayName: `"\\,{}`, labels: { a: `"\\` }, minValue: undefined, maxValue: 7n };
      const begun = await beginAll([
        { ...creationOf(other), content: odd, initialValue: -3n, request: { principal: "q", requestId: "" } },
        creationOf(there.countId),
        creationOf(one),
      ]);
      expect(begun).toMatchObject([
        { countId: other, infoRevision: 1, operation: "CREATE", content: odd, initialValue: -3n },
        undefined as never,
        { countId: one, content, initialValue: 9_007_199_254_740_991n },
      ]);
      expect(await transaction((tx) => infos.changeOf(tx, other))).toEqual(begun[0]);
      expect(await transaction((tx) => infos.changeOf(tx, there.countId))).toEqual(there);
      const ended = await transaction((tx) => infos.end(tx, [begun[2], begun[0], there] as CountChange[]));
      expect(ended).toEqual([
        { principal: "p", requestId: "r" },
        { principal: "q", requestId: "" },
        { principal: "p", requestId: "r" },
      ]);
    });

    test("a change is there from its beginning to its end, which comes once", async () => {
      const countId = newId();
      const change = await begin(creationOf(countId));
      expect(change).toMatchObject({
        countId,
        infoRevision: 1,
        operation: "CREATE",
        content,
        initialValue: 9_007_199_254_740_991n,
      });
      expect(await transaction((tx) => infos.changeOf(tx, countId))).toEqual(change);
      expect(await infos.get(countId)).toMatchObject({ state: "PENDING", version: 0 });
      expect(await transaction((tx) => infos.lock(tx, countId))).toMatchObject({ infoRevision: 1 });
      expect(await transaction((tx) => infos.end(tx, [{ ...change, infoRevision: 2 }]))).toEqual([undefined]);
      expect(await transaction((tx) => infos.end(tx, [change]))).toEqual([{ principal: "p", requestId: "r" }]);
      expect(await transaction((tx) => infos.end(tx, [change]))).toEqual([undefined]);
      expect(await transaction((tx) => infos.changeOf(tx, countId))).toBeUndefined();
    });

    test("of a change without a request id none is told", async () => {
      const change = await begin({ ...creationOf(newId()), request: { principal: "p", requestId: "" } });
      expect(await transaction((tx) => infos.end(tx, [change]))).toEqual([{ principal: "p", requestId: "" }]);
    });

    test("a Count is saved once per version, never back", async () => {
      const record = await made(newId());
      expect(await infos.get(record.countId)).toEqual(record);
      const later: CountRecord = { ...record, version: 3, displayName: "", labels: {}, maxValue: 7n, state: "DELETED" };
      expect(await transaction((tx) => infos.save(tx, [later]))).toEqual([true]);
      expect(await transaction((tx) => infos.save(tx, [later]))).toEqual([false]);
      const newer = { ...(await made(newId())), version: 2, displayName: "newer" };
      expect(await transaction((tx) => infos.save(tx, [{ ...record, version: 2 }, newer]))).toEqual([false, true]);
      expect(await infos.get(newer.countId)).toEqual(newer);
      expect(await infos.get(record.countId)).toEqual(later);
    });

    test("lists by state, prefix and labels, page by page in the order of the ids, and no PENDING one", async () => {
      const prefix = `${newId()}.`;
      for (const last of ["b", "a", "c-"]) await made(`${prefix}${last}`);
      await begin(creationOf(`${prefix}pending`));
      const ids = async (query: Partial<Parameters<InfoStore["list"]>[0]>, after = "", limit = 10) =>
        (await infos.list({ prefix, labels: [], state: "ACTIVE", ...query }, after, limit)).map((info) => info.countId);
      expect(await ids({})).toEqual([`${prefix}a`, `${prefix}b`, `${prefix}c-`]);
      expect(await ids({}, `${prefix}a`, 1)).toEqual([`${prefix}b`]);
      expect(await ids({ labels: Object.entries(content.labels) })).toHaveLength(3);
      expect(await ids({ labels: [["site", "busan"]] })).toEqual([]);
      expect(await ids({ prefix: `${prefix}c` })).toEqual([`${prefix}c-`]);
      expect(await ids({ state: "DELETED" })).toEqual([]);
      expect(await ids({ state: "PENDING" })).toEqual([]);
      expect((await infos.list({ prefix: "", labels: [], state: "ACTIVE" }, "", 1000)).length).toBeGreaterThan(2);
    });

    test("settled Counts are locked in the order of their ids", async () => {
      const prefix = `${newId()}.`;
      const records = [await made(`${prefix}a`), await made(`${prefix}b`)];
      await begin(creationOf(`${prefix}c`));
      const locked = await transaction((tx) => infos.lockSettled(tx, prefix, 1000));
      expect(locked.filter(({ countId }) => countId.startsWith(prefix))).toEqual(records);
      expect(await transaction((tx) => infos.lockSettled(tx, prefix, 1))).toHaveLength(1);
    });

    test("a change is taken up by one, and again when nobody has finished it for so long", async () => {
      const change = await begin(creationOf(newId()));
      const isTakenUp = async (ageMs: number): Promise<boolean> =>
        (await infos.takeUp(ageMs, 1000)).some(({ countId }) => countId === change.countId);
      expect(await isTakenUp(60_000)).toBe(false);
      const [one, other] = await Promise.all([infos.takeUp(0, 1000), infos.takeUp(60_000, 1000)]);
      expect([...one, ...other].filter(({ countId }) => countId === change.countId)).toEqual([change]);
      expect([await isTakenUp(60_000), await isTakenUp(0)]).toEqual([false, true]);
    });
  });
}
