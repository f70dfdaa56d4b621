import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { BranchSchema, StaffRole } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStores } from "../stores-fixture.ts";
import type { StaffStore } from "./store.ts";

/** What every store of staff does. */
export function describeStaffStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of staff: ${name}`, () => {
    let started: StartedStores;
    let staff: StaffStore;
    beforeAll(async () => {
      started = await start();
      ({ staff } = started);
      const times = { version: 1, createTimeMs: 1, updateTimeMs: 1 };
      await within(async (tx) => {
        for (const userId of ["ada", "bob", "eve"]) await started.people.signedUp(tx, userId, `Name of ${userId}`);
        const said = { companyName: "", contactEmail: "", contactPhoneNumber: "" };
        await started.owners.add(tx, { userId: "ada", ...said, ...times });
        for (const branchId of ["b1", "b2"]) {
          const branch = { branchId, ownerId: "ada", state: "ACTIVE", content: create(BranchSchema) } as const;
          await started.branches.add(tx, { ...branch, ...times });
        }
      });
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);

    test("says who works where, as what, and no more once they do not", async () => {
      const { sql } = started.database;
      await within((tx) => staff.save(tx, "b1", "eve", "ATTENDANT"));
      await within((tx) => staff.save(tx, "b1", "bob", "ATTENDANT"));
      await within((tx) => staff.save(tx, "b1", "bob", "MANAGER"));
      await within((tx) => staff.save(tx, "b2", "bob", "ATTENDANT"));
      expect(await staff.of(sql, "b1")).toMatchObject([
        { userId: "bob", role: StaffRole.MANAGER },
        { userId: "eve", role: StaffRole.ATTENDANT },
      ]);
      expect([await staff.count(sql, "b1"), await staff.count(sql, "none")]).toEqual([2, 0]);
      const bob = { userId: "bob", role: "MANAGER", displayName: "Name of bob" } as const;
      const eve = { userId: "eve", role: "ATTENDANT", displayName: "Name of eve" } as const;
      expect([await staff.list(sql, "b1", "", 1), await staff.list(sql, "b1", "bob", 9)]).toEqual([[bob], [eve]]);
      const places = [
        { branchId: "b1", role: "MANAGER" },
        { branchId: "b2", role: "ATTENDANT" },
      ] as const;
      expect([await staff.ofPerson(sql, "bob", 9), await staff.ofPerson(sql, "bob", 1)]).toEqual([
        places,
        places.slice(0, 1),
      ]);
      const remove = (userId: string): Promise<boolean> => within((tx) => staff.remove(tx, "b1", userId));
      expect([await remove("bob"), await remove("bob"), await remove("nobody")]).toEqual([true, false, false]);
      expect(await staff.ofPerson(sql, "bob", 9)).toEqual(places.slice(1));
    });

    test("tells a person's standing with a branch, known or not", async () => {
      const { sql } = started.database;
      await within((tx) => staff.save(tx, "b2", "eve", "MANAGER"));
      await within((tx) => started.people.changedStatus(tx, "eve", "SUSPENDED", { epoch: 0, version: 1n }));
      expect(await staff.standingOf(sql, "b2", "eve")).toEqual({ status: "SUSPENDED", staffRole: "MANAGER" });
      expect(await staff.standingOf(sql, "b2", "ada")).toEqual({ status: "ACTIVE", staffRole: undefined });
      expect(await staff.standingOf(sql, "none", "")).toEqual({ status: undefined, staffRole: undefined });
    });
  });
}
