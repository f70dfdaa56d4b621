import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "../../../platform/postgres/database.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import type { RememberedRequest, RequestIdentity, RequestStore } from "./store.ts";

/** A store of requests to be tried, and the database whose transactions it works in. */
export interface StartedRequestStore extends AsyncDisposable {
  readonly database: Pick<Database, "transaction">;
  /** Makes a store that remembers requests for `windowMs`, over the same database. */
  storeOf(windowMs: number): RequestStore;
}

const fingerprint = new Uint8Array([0, 255, 7]);
const reply = new Uint8Array([0, 1, 2, 255]);
const newRequest = (): RequestIdentity => ({ principal: "p", requestId: crypto.randomUUID(), fingerprint });

/** What every store of requests does. */
export function describeRequestStore(name: string, start: () => Promise<StartedRequestStore>): void {
  describe(`a store of requests: ${name}`, () => {
    let started: StartedRequestStore;
    beforeAll(async () => {
      started = await start();
    });
    afterAll(() => started[Symbol.asyncDispose]());

    const enterAll = (
      requests: RequestStore,
      entered: readonly RequestIdentity[],
    ): Promise<readonly (RememberedRequest | undefined)[]> =>
      started.database.transaction((tx) =>
        requests.enter(
          tx,
          entered.map((request) => ({ request, countId: "a" })),
        ),
      );
    const enter = async (requests: RequestStore, request: RequestIdentity): Promise<RememberedRequest | undefined> =>
      (await enterAll(requests, [request]))[0];
    const answer = (requests: RequestStore, ...answered: readonly RequestIdentity[]): Promise<void> =>
      started.database.transaction((tx) =>
        requests.answer(
          tx,
          answered.map((request) => ({ request, response: reply })),
        ),
      );

    test("tells of a request what it was and what it was answered, to its caller alone", async () => {
      const requests = started.storeOf(600_000);
      const request = newRequest();
      expect(await enter(requests, request)).toBeUndefined();
      const known = await enter(requests, { ...request, fingerprint: new Uint8Array([1]) });
      expect(known).toMatchObject({ countId: "a", response: undefined });
      expect(new Uint8Array(known!.fingerprint)).toEqual(fingerprint);
      expect(await enter(requests, { ...request, principal: "q" })).toBeUndefined();
      await answer(requests, request);
      expect(new Uint8Array((await enter(requests, request))!.response!)).toEqual(reply);
    });

    test("forgets what is removed, and what a transaction that failed had entered", async () => {
      const requests = started.storeOf(600_000);
      const request = newRequest();
      await enter(requests, request);
      await started.database.transaction((tx) => requests.remove(tx, [request]));
      const failing = started.database.transaction(async (tx) => {
        expect(await requests.enter(tx, [{ request, countId: "a" }])).toEqual([undefined]);
        throw new Error("no");
      });
      expect(await failing.catch((error: Error) => error.message)).toBe("no");
      expect(await enter(requests, request)).toBeUndefined();
    });

    test("tells of each of several, whatever the others are", async () => {
      const requests = started.storeOf(600_000);
      const [known, fresh, answered, other] = [newRequest(), newRequest(), newRequest(), newRequest()];
      await enterAll(requests, [known, answered]);
      await answer(requests, answered);
      const again = { ...answered, fingerprint: new Uint8Array([3]) };
      const told = await enterAll(requests, [known, fresh, { ...fresh, principal: "q" }, again, other]);
      expect(told.map((each) => each && [each.countId, Buffer.from(each.fingerprint).toString("hex")])).toEqual([
        ["a", "00ff07"],
        undefined,
        undefined,
        ["a", "00ff07"],
        undefined,
      ]);
      expect(told.map((each) => each?.response && Array.from(each.response))).toEqual([
        undefined,
        undefined,
        undefined,
        [0, 1, 2, 255],
        undefined,
      ]);
      await started.database.transaction((tx) => requests.remove(tx, [fresh, other]));
      expect(await enterAll(requests, [other, fresh])).toEqual([undefined, undefined]);
      expect(await enter(requests, { ...fresh, principal: "q" })).toBeDefined();
    });

    test("of two that enter the same at once one is the first", async () => {
      const requests = started.storeOf(600_000);
      const request = newRequest();
      const answers = await Promise.all([enter(requests, request), enter(requests, request)]);
      expect(answers.filter((answer) => answer === undefined)).toHaveLength(1);
    });

    test("a request whose time is over is as good as none, once it was answered", async () => {
      const brief = started.storeOf(1);
      const [answered, open] = [newRequest(), newRequest()];
      for (const request of [answered, open]) await enter(brief, request);
      await answer(brief, answered);
      await eventually(async () => expect(await enter(brief, answered)).toBeUndefined());
      expect(await enter(brief, open)).toBeDefined();
      await answer(brief, answered);
      await eventually(async () => expect(await brief.removeExpired(1)).toBe(1));
      expect(await brief.removeExpired(100)).toBe(0);
      expect(await enter(brief, open)).toBeDefined();
    });
  });
}
