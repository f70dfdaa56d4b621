import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import { erasureSteps, type ErasureStep, type ErasureStore, type StoredErasure, type TakenStep } from "./store.ts";

/** A ledger to be tried, empty, and the database whose transactions it works in. */
export interface StartedErasureStore extends AsyncDisposable {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly erasures: ErasureStore;
}

const startMs = Date.parse("2026-03-01T10:00:00.123Z");
const dayMs = 86_400_000;

const stepAt = (step: ErasureStep, timeMs: number): TakenStep => ({
  step,
  timeMs,
  detail: `how ${step}`,
  changeId: "5-1",
});

/** What every ledger of erasures does. */
export function describeErasureStore(name: string, start: () => Promise<StartedErasureStore>): void {
  describe(`a ledger of erasures: ${name}`, () => {
    let started: StartedErasureStore;
    let erasures: ErasureStore;
    beforeAll(async () => {
      started = await start();
      ({ erasures } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    let added = 0;
    const add = async (over: Partial<StoredErasure> = {}): Promise<StoredErasure> => {
      const number = ++added;
      const {
        steps: _,
        receipt: __,
        ...erasure
      } = {
        erasureId: `e${String(number).padStart(3, "0")}`,
        enrolmentId: `n${number}`,
        memberId: `m${number}`,
        modelId: "arc",
        branchIds: ["b1", "b2"],
        principal: `person:m${number}`,
        version: 3,
        createTimeMs: startMs + number,
        ...over,
      };
      await started.database.transaction((tx) => erasures.add(tx, erasure));
      const recorded: TakenStep = { step: "RECORDED", timeMs: erasure.createTimeMs, detail: "", changeId: "" };
      return { ...erasure, steps: [recorded], receipt: "" };
    };
    const sign = (erasureId: string, timeMs: number, forgetMs: number): Promise<void> =>
      started.database.transaction((tx) => erasures.sign(tx, erasureId, "signed", timeMs, forgetMs));
    const due = async (nowMs: number): Promise<readonly string[]> => {
      const at = { nowMs, forMs: 5000, aheadMs: 2 * dayMs };
      return (await erasures.takeUp(started.database.sql, at, 100)).map(({ erasureId }) => erasureId);
    };

    test("finds an entry by its id, its enrolment and its person", async () => {
      const { sql } = started.database;
      const entry = await add();
      expect(await erasures.get(sql, entry.erasureId)).toEqual(entry);
      expect(await erasures.find(sql, entry.enrolmentId)).toEqual(entry);
      expect(await erasures.ofMember(sql, entry.memberId, 10)).toEqual([entry]);
      expect([await erasures.get(sql, "e0"), await erasures.find(sql, "n0")]).toEqual([undefined, undefined]);
    });

    test("keeps the first time of each step, in the order of the steps, until it is to be taken again", async () => {
      const { sql } = started.database;
      const { erasureId } = await add();
      for (const step of ["REMOVED", "DENIED", "APPLIED"] as const)
        await erasures.took(sql, erasureId, stepAt(step, 7));
      await erasures.took(sql, erasureId, stepAt("DENIED", 9));
      const stepsOf = async () => (await erasures.get(sql, erasureId))?.steps.slice(1);
      expect(await stepsOf()).toEqual([stepAt("DENIED", 7), stepAt("APPLIED", 7), stepAt("REMOVED", 7)]);
      await erasures.retake(sql, erasureId, ["REMOVED", "PROBED"]);
      expect(await stepsOf()).toEqual([stepAt("DENIED", 7), stepAt("APPLIED", 7)]);
    });

    test("knows every step", async () => {
      const { sql } = started.database;
      const { erasureId } = await add();
      for (const step of erasureSteps) await erasures.took(sql, erasureId, stepAt(step, 1));
      expect((await erasures.get(sql, erasureId))?.steps.map(({ step }) => step)).toEqual([...erasureSteps]);
    });

    test("hands each entry to one at a time: without a receipt to go on with it, with one to forget its denials", async () => {
      const { erasureId } = await add({ createTimeMs: startMs + 500 });
      expect(await due(startMs + 499)).not.toContain(erasureId);
      expect(await due(startMs + 500)).toContain(erasureId);
      expect(await due(startMs + 5499)).not.toContain(erasureId);
      expect(await due(startMs + 5500)).toContain(erasureId);
      await sign(erasureId, startMs + 5600, startMs + dayMs);
      expect(await due(startMs + dayMs - 1)).not.toContain(erasureId);
      expect(await due(startMs + dayMs)).toContain(erasureId);
      await erasures.forgotten(started.database.sql, erasureId);
      expect(await due(startMs + 9 * dayMs)).not.toContain(erasureId);
      await erasures.denied(started.database.sql, [(await read(erasureId)).enrolmentId], startMs + 10 * dayMs);
      expect(await due(startMs + 9 * dayMs)).not.toContain(erasureId);
      expect(await due(startMs + 10 * dayMs)).toContain(erasureId);
    });
    const read = async (erasureId: string): Promise<StoredErasure> =>
      (await erasures.get(started.database.sql, erasureId)) as StoredErasure;

    test("hands out at once what a clock that ran ahead put off", async () => {
      const { erasureId } = await add({ createTimeMs: startMs + 400 * dayMs });
      expect(await due(startMs)).toContain(erasureId);
    });

    test("replays those whose denials are not forgotten, and names those of enrolments", async () => {
      const { sql } = started.database;
      const [open, forgotten] = [await add(), await add()];
      await sign(forgotten.erasureId, 1, 2);
      await erasures.forgotten(sql, forgotten.erasureId);
      const denials = new Set((await erasures.denials(sql, "", 100)).map(({ erasureId }) => erasureId));
      expect([denials.has(open.erasureId), denials.has(forgotten.erasureId)]).toEqual([true, false]);
      expect(await erasures.denials(sql, open.erasureId, 100)).not.toContainEqual(expect.objectContaining(open));
      const entries = await erasures.recorded(sql, [open.enrolmentId, forgotten.enrolmentId, "n0"]);
      expect(new Map(entries.map(({ erasureId, isSigned }) => [erasureId, isSigned]))).toEqual(
        new Map([
          [open.erasureId, false],
          [forgotten.erasureId, true],
        ]),
      );
      expect(await erasures.recorded(sql, [])).toEqual([]);
      expect((await erasures.signed(sql, "", 100)).map(({ erasureId }) => erasureId)).toContain(forgotten.erasureId);
    });

    test("counts those of a person that have no receipt, and forgets who asked", async () => {
      const { database } = started;
      const [one, other] = [await add({ memberId: "m0" }), await add({ memberId: "m0", principal: "person:m0" })];
      expect(await erasures.unsignedOfMember(database.sql, "m0")).toBe(2);
      await sign(one.erasureId, 1, 2);
      expect(await erasures.unsignedOfMember(database.sql, "m0")).toBe(1);
      expect(await database.transaction((tx) => erasures.lock(tx, one.erasureId))).toMatchObject({ receipt: "signed" });
      await database.transaction((tx) => erasures.forgetPrincipal(tx, "person:m0"));
      await database.transaction((tx) => erasures.forgetMember(tx, "m0"));
      expect([(await read(one.erasureId)).memberId, await erasures.unsignedOfMember(database.sql, "m0")]).toEqual([
        "",
        0,
      ]);
      expect([(await read(one.erasureId)).principal, (await read(other.erasureId)).principal]).toEqual([
        one.principal,
        "",
      ]);
    });
  });
}
