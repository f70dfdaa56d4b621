import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { aModel, anEnrolment, type StartedStores } from "../stores-fixture.ts";
import type { EnrolmentStore, FaceChange } from "./store.ts";

/** What every store of enrolments does. */
export function describeEnrolmentStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of enrolments: ${name}`, () => {
    let started: StartedStores;
    let enrolments: EnrolmentStore;
    beforeAll(async () => {
      started = await start();
      ({ enrolments } = started);
      await within((tx) => started.models.add(tx, aModel));
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);

    const request = { principal: "person:ada", requestId: "r1", fingerprint: Uint8Array.of(7) };
    const change = (changeId: string, enrolmentId: string, more: Partial<FaceChange> = {}): FaceChange => ({
      changeId,
      enrolmentId,
      modelId: "arc",
      branchIds: ["b1"],
      faceCount: 2,
      digest: Uint8Array.of(1, 2),
      request: { ...request, requestId: "" },
      overrides: false,
      startTimeMs: 3000,
      ...more,
    });
    const enrol = (enrolment: ReturnType<typeof anEnrolment>) =>
      within(async (tx) => {
        await enrolments.add(tx, enrolment);
        await enrolments.save(tx, enrolment);
      });

    test("shows an enrolment once it is saved, and has one of a person and model", async () => {
      const { sql } = started.database;
      const enrolment = anEnrolment("e1", { branchIds: ["b1", "b2"] });
      expect(await within((tx) => enrolments.add(tx, enrolment))).toBe(true);
      expect(await within((tx) => enrolments.add(tx, { ...enrolment, enrolmentId: "e2" }))).toBe(false);
      expect([await enrolments.find(sql, "e1"), await enrolments.isEnrolled(sql, "member of e1", "arc")]).toEqual([
        undefined,
        true,
      ]);
      expect(await enrolments.isAnybodyEnrolled(sql, "b2", "arc")).toBe(false);
      expect(await within((tx) => enrolments.lock(tx, "e1"))).toEqual({ enrolment, isNew: true });
      const saved = { ...enrolment, faceCount: 4, version: 2, updateTimeMs: 2000 };
      await within((tx) => enrolments.save(tx, saved));
      expect(await enrolments.find(sql, "e1")).toEqual(saved);
      expect(await within((tx) => enrolments.lock(tx, "e1"))).toEqual({ enrolment: saved, isNew: false });
      expect(await enrolments.isAnybodyEnrolled(sql, "b2", "arc")).toBe(true);
      expect(await enrolments.ofMember(sql, "member of e1")).toEqual([saved]);
      await within((tx) => enrolments.remove(tx, "e1"));
      expect([await enrolments.find(sql, "e1"), await within((tx) => enrolments.lock(tx, "e1"))]).toEqual([
        undefined,
        undefined,
      ]);
    });

    test("lists by branch, person and who looks, in the order of ids", async () => {
      const { sql } = started.database;
      const version = { epoch: 0, version: 1n };
      await within(async (tx) => {
        await started.branches.put(tx, { branchId: "c1", ownerId: "ada", managerIds: ["bob"], version });
        await started.branches.put(tx, { branchId: "c2", ownerId: "ada", managerIds: [], version });
      });
      await enrol(anEnrolment("f1", { branchIds: ["c1"] }));
      await enrol(anEnrolment("f2", { branchIds: ["c1", "c2"] }));
      await enrol(anEnrolment("f3", { branchIds: ["c2"], memberId: "bob" }));
      await within((tx) => enrolments.add(tx, anEnrolment("f4", { branchIds: ["c1"] })));
      const list = async (more: object, after = "", limit = 9): Promise<string> => {
        const query = { branchId: "", memberId: "", viewerId: undefined, ...more };
        return (await enrolments.list(sql, query, after, limit)).map(({ enrolmentId }) => enrolmentId).join(" ");
      };
      expect(await list({})).toBe("f1 f2 f3");
      expect([await list({}, "f1", 1), await list({ branchId: "c1" }), await list({ memberId: "bob" })]).toEqual([
        "f2",
        "f1 f2",
        "f3",
      ]);
      expect([
        await list({ viewerId: "ada" }),
        await list({ viewerId: "bob" }),
        await list({ viewerId: "eve" }),
      ]).toEqual(["f1 f2 f3", "f1 f3", ""]);
      const page = await within((tx) => enrolments.lockPage(tx, "f1", 9));
      expect(page.map(({ enrolmentId }) => enrolmentId)).toEqual(["f2", "f3"]);
    });

    test("keeps a change until it ends, and finds it by its galleries and its request", async () => {
      const { sql } = started.database;
      await enrol(anEnrolment("g1"));
      await enrol(anEnrolment("g2"));
      const first = change("1", "g1", { branchIds: ["d1", "d2"], request });
      const second = change("2", "g2", { branchIds: ["d2"], overrides: true });
      await within(async (tx) => {
        await enrolments.begin(tx, first);
        await enrolments.begin(tx, second);
      });
      expect(await enrolments.changes(sql, 9)).toEqual([first, second]);
      expect(await enrolments.changes(sql, 1)).toEqual([first]);
      expect(await enrolments.changesAt(sql, "arc", ["d1", "d9"])).toEqual([first]);
      expect(await enrolments.changesAt(sql, "arc", ["d2"])).toEqual([first, second]);
      expect(await enrolments.changesAt(sql, "net", ["d2"])).toEqual([]);
      expect(await enrolments.changeOf(sql, request)).toEqual(first);
      expect(await enrolments.changeOf(sql, { ...request, principal: "person:bob" })).toBeUndefined();
      expect(await within((tx) => enrolments.lockChange(tx, "2"))).toEqual(second);
      await within((tx) => enrolments.addOverride(tx, second, 4000));
      const end = () => within((tx) => enrolments.end(tx, "2"));
      expect([await end(), await end()]).toEqual([true, false]);
      expect(await within((tx) => enrolments.lockChange(tx, "2"))).toBeUndefined();
      await within((tx) => enrolments.remove(tx, "g1"));
      expect(await enrolments.changes(sql, 9)).toEqual([]);
    });
  });
}
