import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { getsOnBeside, type StartedStores } from "../stores-fixture.ts";
import type { RequestIdentity, RequestStore } from "./store.ts";

const windowMs = 60_000;
const nowMs = Date.parse("2026-03-01T10:00:00Z");

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

    const hold = (of: RequestIdentity) => (tx: Transaction) => requests.hold(tx, of);
    const recalled = async (of: RequestIdentity, atMs = nowMs): Promise<unknown> => {
      const known = await requests.recall(started.database.sql, of, atMs);
      return known instanceof Uint8Array ? [...known] : known;
    };
    const remember = (of: RequestIdentity, enrolmentId = "e1", atMs = nowMs): Promise<void> =>
      within((tx) =>
        requests.remember(tx, of, { enrolmentId, response: Uint8Array.of(1, 2, 3), expireTimeMs: atMs + windowMs }),
      );

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
      await remember(request("old"), "e1", nowMs + windowMs);
      await remember(request("older"));
      await requests.forgetOld(started.database.sql, nowMs + windowMs);
      expect([await recalled(request("older")), await recalled(request("old"))]).toEqual([undefined, [1, 2, 3]]);
    });

    test("forgets all of one caller, and all about one enrolment", async () => {
      await remember(request("r", "person:gone"));
      await remember(request("r", "person:stays"));
      await remember(request("s", "person:stays"), "e2");
      await within((tx) => requests.forgetPrincipal(tx, "person:gone"));
      await within((tx) => requests.forgetEnrolment(tx, "e2"));
      expect([
        await recalled(request("r", "person:gone")),
        await recalled(request("r", "person:stays")),
        await recalled(request("s", "person:stays")),
      ]).toEqual([undefined, [1, 2, 3], "erased"]);
    });

    test("knows for its time, and without its caller, that a request was made whose enrolment is erased", async () => {
      await remember(request("t", "person:retries"), "e3");
      await within((tx) => requests.forgetEnrolment(tx, "e3"));
      const other = { ...request("t", "person:retries"), fingerprint: Uint8Array.of(8) };
      expect([await recalled(request("t", "person:retries")), await recalled(other)]).toEqual(["erased", "erased"]);
      expect(await recalled(request("t", "person:other"))).toBeUndefined();
      expect(await recalled(request("t", "person:retries"), nowMs + windowMs - 1)).toBe("erased");
      expect(await recalled(request("t", "person:retries"), nowMs + windowMs)).toBeUndefined();
      await requests.forgetOld(started.database.sql, nowMs + windowMs);
      expect(await recalled(request("t", "person:retries"))).toBeUndefined();
    });

    test("lets one transaction at a time work on a request", async () => {
      expect(await getsOnBeside(started, hold(request("one")), hold(request("one")))).toBe(false);
      expect(await getsOnBeside(started, hold(request("one")), hold(request("two")))).toBe(true);
    });
  });
}
