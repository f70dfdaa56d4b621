import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import type { ErasureStore, StoredErasure } from "./store.ts";

/** A store of erasures to be tried, empty, and the database whose transactions it works in. */
export interface StartedErasureStore extends AsyncDisposable {
  readonly database: Pick<Database, "sql" | "transaction">;
  readonly erasures: ErasureStore;
  /** Makes a person; returns their id. */
  newPerson(): Promise<string>;
}

const createTimeMs = Date.parse("2026-03-01T10:00:00.123Z");

/** What every store of erasures does. */
export function describeErasureStore(name: string, start: () => Promise<StartedErasureStore>): void {
  describe(`a store of erasures: ${name}`, () => {
    let started: StartedErasureStore;
    let erasures: ErasureStore;
    beforeAll(async () => {
      started = await start();
      ({ erasures } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    let added = 0;
    const add = async (...services: readonly string[]): Promise<StoredErasure> => {
      const erasure: StoredErasure = {
        erasureId: `e${++added}`,
        userId: await started.newPerson(),
        state: "ERASING",
        confirmations: services.map((service) => ({ service, confirmTimeMs: undefined })),
        createTimeMs: createTimeMs + added,
        doneTimeMs: undefined,
      };
      await started.database.transaction((tx) => erasures.add(tx, erasure));
      return erasure;
    };
    const confirm = (userId: string, service: string, timeMs: number): Promise<void> =>
      started.database.transaction((tx) => erasures.confirm(tx, userId, service, timeMs));

    test("is found by its id and by its person", async () => {
      const erasure = await add("auth", "branch-owner");
      expect(await erasures.get(started.database.sql, erasure.erasureId)).toEqual(erasure);
      expect(await started.database.transaction((tx) => erasures.find(tx, erasure.userId))).toEqual(erasure);
      expect(await erasures.get(started.database.sql, "e0")).toBeUndefined();
      const other = await started.newPerson();
      expect(await started.database.transaction((tx) => erasures.find(tx, other))).toBeUndefined();
    });

    test("is due once the last of its services has confirmed, each once, and ends once", async () => {
      const { erasureId, userId } = await add("auth", "branch-owner");
      const isDue = async (): Promise<boolean> =>
        (await erasures.due(started.database.sql, 100)).some((each) => each.userId === userId);
      await confirm(userId, "auth", 1);
      await confirm(userId, "auth", 2);
      await confirm(userId, "somebody", 3);
      await confirm("nobody", "auth", 4);
      await erasures.end(started.database.sql, erasureId, 5);
      expect(await erasures.get(started.database.sql, erasureId)).toMatchObject({
        state: "ERASING",
        confirmations: [
          { service: "auth", confirmTimeMs: 1 },
          { service: "branch-owner", confirmTimeMs: undefined },
        ],
        doneTimeMs: undefined,
      });
      expect([await isDue(), await erasures.erasingIds(started.database.sql, "", 100)]).toEqual([
        false,
        expect.arrayContaining([userId]),
      ]);
      await confirm(userId, "branch-owner", 6);
      expect([await isDue(), (await erasures.erasingIds(started.database.sql, "", 100)).includes(userId)]).toEqual([
        true,
        false,
      ]);
      for (const timeMs of [7, 8]) await erasures.end(started.database.sql, erasureId, timeMs);
      expect(await erasures.get(started.database.sql, erasureId)).toMatchObject({ state: "DONE", doneTimeMs: 7 });
      expect(await isDue()).toBe(false);
    });

    test("of confirmations at the same time one is the last", async () => {
      const services = Array.from({ length: 6 }, (_, n) => `service-${n}`);
      const { erasureId, userId } = await add(...services);
      await Promise.all(services.map((service) => confirm(userId, service, 1)));
      expect(await erasures.get(started.database.sql, erasureId)).toMatchObject({ state: "DESTROYING_KEY" });
    });

    test("those that are due come in the order in which they began, at most as many as asked for", async () => {
      const [first, second] = [await add("auth"), await add("auth")];
      for (const { userId } of [second, first]) await confirm(userId, "auth", 1);
      const due = await erasures.due(started.database.sql, 100);
      const mine = due.filter(({ erasureId }) => [first.erasureId, second.erasureId].includes(erasureId));
      expect(mine).toEqual([first, second].map(({ erasureId, userId }) => ({ erasureId, userId })));
      expect(await erasures.due(started.database.sql, 1)).toEqual(due.slice(0, 1));
    });
  });
}
