import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { Enrolment, EnrolmentStore } from "./store.ts";

/** What every store of enrolments does. */
export function describeEnrolmentStore(name: string, start: StartStore<EnrolmentStore>): void {
  describe(`a store of enrolments: ${name}`, () => {
    let started: StartedStore<EnrolmentStore>;
    let store: EnrolmentStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    let last = 0;
    const enrolmentOf = (userId: string): Omit<Enrolment, "eraseTimeMs"> => ({
      enrolmentId: `e${++last}`,
      userId,
      branchIds: ["b1"],
      modelId: "arc-1",
      consentTextVersion: "3",
      consentTimeMs: 1000,
      enrolTimeMs: 2000,
      version: { epoch: 0, version: 2n },
    });
    const put = (enrolment: Omit<Enrolment, "eraseTimeMs">) =>
      started.database.transaction((tx) => store.putEnrolled(tx, enrolment));
    const erase = (enrolmentId: string, userId: string, version: bigint, epoch = 0) =>
      started.database.transaction((tx) =>
        store.putErased(tx, { enrolmentId, userId, eraseTimeMs: 5000, version: { epoch, version } }),
      );

    test("takes what is newer, and nothing that is not", async () => {
      const { userId } = await started.newAccount();
      const enrolment = enrolmentOf(userId);
      expect(await put(enrolment)).toEqual({ ...enrolment, eraseTimeMs: undefined });
      expect(await put({ ...enrolment, modelId: "same" })).toBeUndefined();
      expect(await put({ ...enrolment, modelId: "older", version: { epoch: 0, version: 1n } })).toBeUndefined();
      expect(await erase(enrolment.enrolmentId, userId, 2n)).toBeUndefined();
      const erased = { ...enrolment, eraseTimeMs: 5000, version: { epoch: 0, version: 3n } };
      expect(await erase(enrolment.enrolmentId, userId, 3n)).toEqual(erased);
      expect(await put({ ...enrolment, version: { epoch: 0, version: 2n } })).toBeUndefined();
      const again = { ...enrolment, modelId: "arc-2", version: { epoch: 0, version: 4n } };
      expect(await put(again)).toEqual({ ...again, eraseTimeMs: undefined });
      expect(await store.list(started.database.sql, userId, "", 10)).toEqual([{ ...again, eraseTimeMs: undefined }]);
    });

    test("keeps an erasure that comes first, and lists one person's in the order of their ids", async () => {
      const { userId } = await started.newAccount();
      const [first, second] = [enrolmentOf(userId), enrolmentOf(userId)];
      await put(enrolmentOf((await started.newAccount()).userId));
      expect(await erase(second.enrolmentId, userId, 9n)).toMatchObject({ modelId: "", branchIds: [] });
      expect(await put(second)).toBeUndefined();
      await put(first);
      const listed = async (after: string, limit: number): Promise<readonly string[]> =>
        (await store.list(started.database.sql, userId, after, limit)).map(({ enrolmentId }) => enrolmentId);
      expect(await listed("", 10)).toEqual([first.enrolmentId, second.enrolmentId].toSorted());
      expect(await listed("", 1)).toEqual([first.enrolmentId]);
      expect(await listed(first.enrolmentId, 10)).toEqual([second.enrolmentId]);
    });
  });
}
