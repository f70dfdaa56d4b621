import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import type { StartedStore, StartStore } from "../store-fixture.ts";
import type { Act, AuditFilter, AuditStore } from "./store.ts";

/** An act of somebody, different from others as `more` says. */
function act(principal: string, more: Partial<Act> = {}): Act {
  const client = { principal, address: "192.0.2.1", userAgent: "app/1" };
  return { action: "SIGN_IN", outcome: "DONE", client, subject: "session:1", ...more };
}

/** What every audit log does. */
export function describeAuditStore(name: string, start: StartStore<AuditStore>): void {
  describe(`an audit log: ${name}`, () => {
    let started: StartedStore<AuditStore>;
    let store: AuditStore;
    beforeAll(async () => {
      started = await start();
      ({ store } = started);
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const append = (given: Act, nowMs = 1000): Promise<void> => store.append(started.database.sql, given, nowMs);
    const details = async (filter: AuditFilter, beforeId = "", limit = 100): Promise<readonly string[]> =>
      (await store.list(started.database.sql, filter, beforeId, limit)).map(({ detail }) => detail);

    const prune = (days: number): Promise<void> => started.database.transaction((tx) => store.prune(tx, days, 100_000));

    test("gives back what was recorded, cut to its bound, and nothing of a transaction that failed", async () => {
      const principal = `person:${systemRandom.uuid()}`;
      await append(act("anonymous", { principal, detail: "x".repeat(600) }), 1234);
      const failing = started.database.transaction(async (tx) => {
        await store.append(tx, act(principal), 1);
        throw new Error("no");
      });
      expect(await failing.catch((error: Error) => error.message)).toBe("no");
      const found = await store.list(started.database.sql, { principal }, "", 10);
      expect(found).toEqual([
        {
          auditId: expect.stringMatching(/^\d+$/),
          createTimeMs: 1234,
          action: "SIGN_IN",
          outcome: "DONE",
          principal,
          subject: "session:1",
          address: "192.0.2.1",
          userAgent: "app/1",
          detail: "x".repeat(512),
        },
      ]);
    });

    test("takes one act for many subjects, each a record of its own", async () => {
      const principal = `service:${systemRandom.uuid()}`;
      const { subject: _, ...given } = act(principal, { action: "HAND_OUT_PERSON_KEY", detail: "d" });
      await store.appendEach(started.database.sql, given, ["person:1", "person:2"], 5000);
      await store.appendEach(started.database.sql, given, [], 6000);
      const found = await store.list(started.database.sql, { principal }, "", 10);
      const { address, userAgent } = given.client;
      const record = { createTimeMs: 5000, action: given.action, outcome: "DONE", address, userAgent, detail: "d" };
      expect(found).toMatchObject([
        { ...record, principal, subject: "person:2" },
        { ...record, principal, subject: "person:1" },
      ]);
    });

    test("lists what fits all conditions, newest first, in pages", async () => {
      const principal = `person:${systemRandom.uuid()}`;
      await append(act(principal, { detail: "a" }), 1000);
      await append(act(principal, { detail: "b", outcome: "REFUSED", action: "SIGN_UP" }), 2000);
      await append(act(principal, { detail: "c", subject: "session:2" }), 3000);
      expect(await details({ principal })).toEqual(["c", "b", "a"]);
      expect(await details({ principal, outcome: "DONE" })).toEqual(["c", "a"]);
      expect(await details({ principal, action: "SIGN_UP" })).toEqual(["b"]);
      expect(await details({ principal, subject: "session:2" })).toEqual(["c"]);
      expect(await details({ principal, fromMs: 2000, untilMs: 3000 })).toEqual(["b"]);
      const [newest] = await store.list(started.database.sql, { principal }, "", 1);
      expect(await details({ principal }, newest!.auditId, 1)).toEqual(["b"]);
    });

    test("tells a person what they did and what was done to them, but not from where by others", async () => {
      const { userId } = await started.newAccount();
      const self = `person:${userId}`;
      await append(act(self, { detail: "own" }));
      await append(act("api_key:1", { subject: self, detail: "done to them" }));
      await append(act("api_key:1", { detail: "another" }));
      const found = await store.listOfPerson(started.database.sql, userId, 10);
      expect(found.map(({ detail, address, userAgent }) => [detail, address, userAgent])).toEqual([
        ["done to them", "", ""],
        ["own", "192.0.2.1", "app/1"],
      ]);
    });

    test("blanks from where somebody acted once they have no account, and what was tried with their address", async () => {
      const userId = systemRandom.uuid(); // Nobody's any more.
      const subject = `email:${userId}`;
      await append(act(`person:${userId}`));
      await append(act("anonymous", { subject }));
      await started.database.transaction((tx) => store.blank(tx, userId, subject));
      const blanked = [
        ...(await store.list(started.database.sql, { principal: `person:${userId}` }, "", 10)),
        ...(await store.list(started.database.sql, { subject }, "", 10)),
      ];
      expect(blanked.map(({ address, userAgent }) => address + userAgent)).toEqual(["", ""]);
    });

    test("removes what is older than it is to be kept, so many at a time, and nothing younger", async () => {
      const principal = `service:${systemRandom.uuid()}`;
      const dayMs = 86_400_000;
      const nowMs = systemClock.now();
      for (const days of [402, 401, 399, 91, 89])
        await append(act(principal, { detail: `${days}` }), nowMs - days * dayMs);
      await prune(400);
      expect(await details({ principal })).toEqual(["89", "91", "399"]);
      await prune(90);
      expect(await details({ principal })).toEqual(["89"]);
    });

    test("keeps its order and its pages over months, whichever of them has room of its own", async () => {
      const principal = `service:${systemRandom.uuid()}`;
      const nowMs = systemClock.now();
      const dayMs = 86_400_000;
      for (const days of [300, -200, 0, 31, -31, 62])
        await append(act(principal, { detail: `${days}` }), nowMs - days * dayMs);
      const pages: (readonly string[])[] = [];
      for (let before = ""; ;) {
        const page = await store.list(started.database.sql, { principal }, before, 2);
        if (page.length === 0) break;
        pages.push(page.map(({ detail }) => detail));
        before = page.at(-1)?.auditId ?? "";
        await prune(400);
      }
      expect(pages).toEqual([
        ["62", "-31"],
        ["31", "0"],
        ["-200", "300"],
      ]);
    });
  });
}
