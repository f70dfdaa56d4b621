import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { aModel, anEnrolment, type StartedStores } from "../stores-fixture.ts";
import type { DigestStore } from "./store.ts";

const gallery = { branchId: "b1", modelId: "arc", generation: 1 };

/** What every store of digests does. */
export function describeDigestStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a store of digests: ${name}`, () => {
    let started: StartedStores;
    let digests: DigestStore;
    beforeAll(async () => {
      started = await start();
      ({ digests } = started);
      await within(async (tx) => {
        await started.models.add(tx, aModel);
        for (const enrolmentId of ["e1", "e2"]) await started.enrolments.add(tx, anEnrolment(enrolmentId));
      });
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);
    const record = (enrolmentId: string, generation: number, digest: Uint8Array): Promise<void> =>
      within((tx) => digests.record(tx, enrolmentId, { ...gallery, generation }, digest));
    const known = async (generation: number): Promise<unknown> =>
      Object.fromEntries(await digests.of(started.database.sql, { ...gallery, generation }, ["e1", "e2", "none"]));

    test("has of each enrolment and generation what was written last, until either goes", async () => {
      expect(await known(1)).toEqual({});
      await record("e1", 1, Uint8Array.of(1));
      await record("e2", 1, Uint8Array.of(2));
      await record("e1", 1, Uint8Array.of(3));
      await record("e1", 2, Uint8Array.of(4));
      expect(await known(1)).toEqual({ e1: Uint8Array.of(3), e2: Uint8Array.of(2) });
      expect([...(await digests.of(started.database.sql, { ...gallery, branchId: "b2" }, ["e1"]))]).toEqual([]);
      await within((tx) => started.enrolments.remove(tx, "e2"));
      expect(await known(1)).toEqual({ e1: Uint8Array.of(3) });
      await within((tx) => digests.forgetBefore(tx, { ...gallery, generation: 2 }));
      expect([await known(1), await known(2)]).toEqual([{}, { e1: Uint8Array.of(4) }]);
    });
  });
}
