import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { aModel, anEnrolment, getsOnBeside, type StartedStores } from "../stores-fixture.ts";
import type { GalleryStore, StoredGallery } from "./store.ts";

function gallery(branchId: string, modelId = "arc"): StoredGallery {
  return { branchId, modelId, generation: 1, keyId: "0a1b2c3d", state: "STANDBY", updateTimeMs: 1000 };
}

/** What every store of galleries does. */
export function describeGalleryStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of galleries: ${name}`, () => {
    let started: StartedStores;
    let galleries: GalleryStore;
    beforeAll(async () => {
      started = await start();
      ({ galleries } = started);
      for (const modelId of ["arc", "net"]) await within((tx) => started.models.add(tx, { ...aModel, modelId }));
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);

    const tryHold = async (tx: Transaction): Promise<void> => {
      if (!(await galleries.tryHold(tx, "arc", ["b2", "b3"]))) throw new Error("held");
    };
    const holding =
      (branchIds: readonly string[], modelId = "arc") =>
      (tx: Transaction) =>
        galleries.hold(tx, modelId, branchIds);

    test("holds the galleries of a model at branches, in whatever order they are named", async () => {
      const hold = holding(["b1", "b2"]);
      expect(await getsOnBeside(started, hold, holding(["b3", "b2"]))).toBe(false);
      expect(await getsOnBeside(started, hold, holding(["b3"]))).toBe(true);
      expect(await getsOnBeside(started, hold, holding(["b1"], "net"))).toBe(true);
      expect(await getsOnBeside(started, hold, tryHold)).toBe(false);
      expect(await getsOnBeside(started, holding(["b4"]), tryHold)).toBe(true);
      const rounds = Array.from({ length: 20 }, (_, round) =>
        within(holding(round % 2 === 0 ? ["b1", "b2", "b3"] : ["b3", "b1", "b2"])),
      );
      expect(await Promise.all(rounds)).toHaveLength(20);
    });

    test("keeps galleries as they were made, and counts the faces of those who are enrolled", async () => {
      const { sql } = started.database;
      await within((tx) => galleries.add(tx, [gallery("c2"), gallery("c1"), gallery("c1", "net")]));
      await within((tx) => galleries.add(tx, [{ ...gallery("c1"), generation: 7 }]));
      expect(await galleries.of(sql, "arc", ["c2", "c1", "none"])).toEqual([gallery("c1"), gallery("c2")]);
      await within(async (tx) => {
        const enrolled = anEnrolment("e1", { branchIds: ["c1", "c2"], faceCount: 3 });
        await started.enrolments.add(tx, enrolled);
        await started.enrolments.save(tx, enrolled);
        await started.enrolments.add(tx, anEnrolment("e2", { branchIds: ["c1"], faceCount: 5 }));
      });
      expect(await galleries.list(sql, "c1", ["arc", "net"])).toEqual([
        { ...gallery("c1"), faceCount: 3 },
        { ...gallery("c1", "net"), faceCount: 0 },
      ]);
    });

    test("has one active gallery of a branch, and tells since when it was not told", async () => {
      const { sql } = started.database;
      await within((tx) => galleries.add(tx, [gallery("d1"), gallery("d1", "net")]));
      expect(await galleries.active(sql, "d1")).toBeUndefined();
      expect(await galleries.withoutActive(sql, ["d1", "none"])).toEqual(["d1", "none"]);
      const activate = (modelId: string) =>
        within(async (tx) => {
          await galleries.holdActive(tx, ["d1"]);
          const before = await galleries.inState(tx, "d1", "ACTIVE");
          if (before !== undefined) await galleries.setState(tx, before, "FORMER", 2000);
          await galleries.setState(tx, gallery("d1", modelId), "ACTIVE", 2000);
          await galleries.activeChanged(tx, "d1");
        });
      await activate("arc");
      const keyed = { branchId: "d1", generation: 1, keyId: "0a1b2c3d" };
      expect(await galleries.active(sql, "d1")).toEqual({ ...keyed, modelId: "arc", revision: 1 });
      expect([await galleries.untold(sql, 9), await galleries.untoldAmong(sql, ["d1", "none"])]).toEqual([
        ["d1"],
        ["d1"],
      ]);
      expect(await galleries.withoutActive(sql, ["d1", "none"])).toEqual(["none"]);
      await galleries.told(sql, "d1", 1);
      expect(await galleries.untold(sql, 9)).toEqual([]);
      await activate("net");
      expect(await galleries.active(sql, "d1")).toEqual({ ...keyed, modelId: "net", revision: 2 });
      expect((await galleries.inState(sql, "d1", "FORMER"))?.modelId).toBe("arc");
      await galleries.told(sql, "d1", 1);
      expect(await galleries.untoldAmong(sql, ["d1"])).toEqual(["d1"]);
      expect(
        await getsOnBeside(
          started,
          (tx) => galleries.holdActive(tx, ["d1", "new"]),
          (tx) => galleries.holdActive(tx, ["d1"]),
        ),
      ).toBe(false);
    });
  });
}
