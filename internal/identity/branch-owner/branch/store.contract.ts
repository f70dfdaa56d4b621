import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BranchSchema, type Branch } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStores } from "../stores-fixture.ts";
import type { BranchQuery, BranchStore, StoredBranch } from "./store.ts";

const createTimeMs = Date.parse("2026-03-01T10:00:00.123Z");
const any: BranchQuery = {
  personId: undefined,
  ownerId: "",
  state: undefined,
  facility: "",
  countryCode: "",
  locality: "",
};

const idsOf = (found: readonly StoredBranch[]): readonly string[] => found.map(({ branchId }) => branchId);

const place = (countryCode: string, locality: string): Branch =>
  create(BranchSchema, { address: { countryCode, locality }, facilities: ["sauna", locality] });

/** What every store of branches does. */
export function describeBranchStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of branches: ${name}`, () => {
    let started: StartedStores;
    let branches: BranchStore;
    beforeAll(async () => {
      started = await start();
      ({ branches } = started);
      const said = { companyName: "", contactEmail: "", contactPhoneNumber: "" };
      const times = { createTimeMs, updateTimeMs: createTimeMs };
      for (const userId of ["ada", "bob", "eve"]) {
        await within((tx) => started.people.signedUp(tx, userId, userId));
        await within((tx) => started.owners.add(tx, { userId, ...said, version: 1, ...times }));
      }
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);
    const add = async (branchId: string, changed: Partial<StoredBranch> = {}): Promise<StoredBranch> => {
      const branch: StoredBranch = {
        branchId,
        ownerId: "ada",
        state: "ACTIVE",
        content: create(BranchSchema, { displayName: branchId, timeZone: "UTC" }),
        version: 1,
        createTimeMs,
        updateTimeMs: createTimeMs,
        ...changed,
      };
      await within((tx) => branches.add(tx, branch));
      return branch;
    };

    test("gives back what was added and saved", async () => {
      const content = create(BranchSchema, {
        displayName: "Gangnam \u{1F3CB}",
        timeZone: "Asia/Seoul",
        openingHours: { exceptions: [{ date: "2026-12-25", yearly: true }] },
        equipment: [{ equipmentId: "treadmill", quantity: 8 }],
      });
      const branch = await add("a-one", { content });
      expect(await branches.find(started.database.sql, "a-one")).toEqual(branch);
      const changed = { ...branch, ownerId: "bob", state: "CLOSED", version: 2, updateTimeMs: 1 } as const;
      await within((tx) => branches.save(tx, changed));
      expect(await within((tx) => branches.lock(tx, "a-one"))).toEqual(changed);
      expect(await branches.find(started.database.sql, "a-none")).toBeUndefined();
      expect(await within((tx) => branches.lock(tx, "a-none"))).toBeUndefined();
    });

    test("lists by every condition, in the order of ids, in pages", async () => {
      await add("list-c", { ownerId: "eve", content: place("KR", "Mitte") });
      await add("list-a", { ownerId: "eve", content: place("DE", "Mitte"), state: "CLOSED" });
      await add("list-b", { ownerId: "bob", content: place("DE", "Altona") });
      await within((tx) => started.staff.save(tx, "list-b", "eve", "ATTENDANT"));
      const list = async (query: Partial<BranchQuery>, after = "list", limit = 9): Promise<readonly string[]> =>
        idsOf(await branches.list(started.database.sql, { ...any, ...query }, after, limit));
      expect([await list({}, "list", 2), await list({}, "list-b", 2)]).toEqual([["list-a", "list-b"], ["list-c"]]);
      expect(await list({ personId: "eve" })).toEqual(["list-a", "list-b", "list-c"]);
      expect(await list({ personId: "nobody" })).toEqual([]);
      expect(await list({ ownerId: "eve" })).toEqual(["list-a", "list-c"]);
      expect(await list({ state: "CLOSED" })).toEqual(["list-a"]);
      expect(await list({ facility: "Altona" })).toEqual(["list-b"]);
      expect(await list({ countryCode: "DE", locality: "Mitte" })).toEqual(["list-a"]);
      const { sql } = started.database;
      expect(await branches.idsOfOwner(sql, "eve", 9)).toEqual(["list-a", "list-c"]);
      expect(await branches.idsOfOwner(sql, "eve", 1)).toEqual(["list-a"]);
      expect([await branches.countOfOwner(sql, "eve"), await branches.countOfOwner(sql, "nobody")]).toEqual([2, 0]);
      expect(idsOf(await within((tx) => branches.lockOf(tx, "eve")))).toEqual(["list-a", "list-b", "list-c"]);
      expect(idsOf(await within((tx) => branches.lockPage(tx, "list-a", 1)))).toEqual(["list-b"]);
    });

    test("of two who lock a branch, the second sees what the first saved", async () => {
      await add("a-both");
      const change = (): Promise<void> =>
        within(async (tx) => {
          const branch = await branches.lock(tx, "a-both");
          if (branch !== undefined) await branches.save(tx, { ...branch, version: branch.version + 1 });
        });
      await Promise.all(Array.from({ length: 8 }, change));
      expect((await branches.find(started.database.sql, "a-both"))?.version).toBe(9);
    });
  });
}
