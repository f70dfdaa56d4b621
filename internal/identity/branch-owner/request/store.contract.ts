import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { StartedStores } from "../stores-fixture.ts";
import type { RequestIdentity, RequestStore } from "./store.ts";

const windowMs = 60_000;
const nowMs = Date.parse("2026-03-01T10:00:00Z");
const reply = Uint8Array.of(1, 2, 3);

const request = (requestId: string, principal = "person:ada"): RequestIdentity => ({
  principal,
  requestId,
  fingerprint: Uint8Array.of(7),
});

/** What every memory of requests does. */
export function describeRequestStore(name: string, start: () => Promise<StartedStores>): void {
  describe(`a memory of requests: ${name}`, () => {
    let started: StartedStores;
    let requests: RequestStore;
    beforeAll(async () => {
      started = await start();
      ({ requests } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const within = <T>(work: (tx: Transaction) => Promise<T>): Promise<T> => started.database.transaction(work);
    const recalled = async (of: RequestIdentity, atMs = nowMs): Promise<unknown> => {
      const known = await within((tx) => requests.recall(tx, of, atMs));
      return known instanceof Uint8Array ? [...known] : known;
    };
    const remember = (of: RequestIdentity, atMs = nowMs): Promise<void> =>
      within((tx) => requests.remember(tx, of, reply, atMs + windowMs));

    test("gives a request its first reply, and one of the same id that asks for something else none", async () => {
      expect(await recalled(request("r1"))).toBeUndefined();
      await remember(request("r1"));
      expect(await recalled(request("r1"))).toEqual([1, 2, 3]);
      expect(await recalled({ ...request("r1"), fingerprint: Uint8Array.of(8) })).toBe("reused");
      expect(await recalled(request("r1", "person:bob"))).toBeUndefined();
      expect(await recalled(request("r2"))).toBeUndefined();
    });

    test("knows a request for its time and no longer, and takes it anew", async () => {
      await remember(request("old"));
      expect(await recalled(request("old"), nowMs + windowMs - 1)).toEqual([1, 2, 3]);
      expect(await recalled(request("old"), nowMs + windowMs)).toBeUndefined();
      await remember(request("old"), nowMs + windowMs);
      expect(await recalled(request("old"), nowMs + windowMs)).toEqual([1, 2, 3]);
      await remember(request("older"));
      await requests.forgetOld(started.database.sql, nowMs + windowMs);
      expect([await recalled(request("older")), await recalled(request("old"))]).toEqual([undefined, [1, 2, 3]]);
    });

    test("forgets all of one caller", async () => {
      for (const principal of ["person:gone", "person:stays"]) await remember(request("r", principal));
      await within((tx) => requests.forgetPrincipal(tx, "person:gone"));
      expect([await recalled(request("r", "person:gone")), await recalled(request("r", "person:stays"))]).toEqual([
        undefined,
        [1, 2, 3],
      ]);
    });

    test("lets who repeats a request wait for its outcome", async () => {
      const outcomes = await Promise.all(
        Array.from({ length: 6 }, () =>
          within(async (tx) => {
            const known = await requests.recall(tx, request("many"), nowMs);
            if (known !== undefined) return "repeated";
            await requests.remember(tx, request("many"), reply, nowMs + windowMs);
            return "first";
          }),
        ),
      );
      expect(outcomes.filter((outcome) => outcome === "first")).toHaveLength(1);
    });
  });
}
