import { expect } from "bun:test";
import { systemRandom } from "../../../platform/clock/random.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import type { TestTable } from "../../../platform/testing/contract.ts";
import type { Attempt, AttemptLimits, AttemptStore, Settlement } from "./store.ts";

/** Bounds of the tests, small enough to be reached. */
export const limits: AttemptLimits = {
  attemptsPerMinuteMax: 1000,
  embeddingsPerDeviceMax: 1000,
  denialsMax: 5,
  denialsWindowMs: 60_000,
  lockoutMs: 300,
  stayMs: 60_000,
};

/** Makes a memory that knows nothing of new devices and branches. */
export type CreateStore = (limits: AttemptLimits) => AttemptStore;

const any = (): string => systemRandom.uuid();

function attemptOf(deviceId: string, given: Partial<Attempt> = {}): Attempt {
  return {
    deviceId,
    nonce: any(),
    fingerprint: Buffer.alloc(32, 1),
    embedding: Buffer.from(systemRandom.bytes(16)),
    isGuess: true,
    entryId: any(),
    ...given,
  };
}

function settlementOf(given: Partial<Settlement> = {}): Settlement {
  return {
    entry: Buffer.from(`entry ${any()}`),
    isDenial: false,
    branchId: "b",
    memberId: "",
    moves: undefined,
    unlessFull: undefined,
    pass: undefined,
    ...given,
  };
}

/** What happens to a person at the door of a branch with room for one; "in" when they were let in. */
async function enter(store: AttemptStore, branchId: string, memberId: string): Promise<string> {
  const attempt = attemptOf(any());
  await store.begin(attempt);
  const entry = await store.settle(
    attempt,
    settlementOf({
      entry: Buffer.from("in"),
      branchId,
      memberId,
      moves: "in",
      unlessFull: { capacityMax: 1, entry: Buffer.from("full") },
    }),
  );
  return entry.toString();
}

/** What every memory of attempts does. */
export const attemptStoreContract: TestTable<CreateStore> = {
  "decides an attempt once, and answers its repeats": async (createStore) => {
    const store = createStore(limits);
    const attempt = attemptOf(any());
    const repeat = { ...attempt, entryId: any() };
    expect(await store.begin(attempt)).toEqual({ kind: "first", entryId: attempt.entryId });
    expect(await store.begin(repeat)).toEqual({ kind: "under_way" });
    const settlement = settlementOf();
    expect(await store.settle(attempt, settlement)).toEqual(settlement.entry);
    expect(await store.begin(repeat)).toEqual({ kind: "repeated", entry: settlement.entry });
    expect(await store.settle(repeat, settlementOf())).toEqual(settlement.entry);
  },

  "refuses a nonce with another request, by device": async (createStore) => {
    const store = createStore(limits);
    const attempt = attemptOf(any());
    await store.begin(attempt);
    const other = { ...attempt, fingerprint: Buffer.alloc(32, 2), embedding: Buffer.from(systemRandom.bytes(16)) };
    expect(await store.begin(other)).toEqual({ kind: "nonce_reused" });
    expect(await store.begin({ ...other, deviceId: any() })).toMatchObject({ kind: "first" });
  },

  "refuses an embedding under another nonce": async (createStore) => {
    const store = createStore(limits);
    const attempt = attemptOf(any());
    await store.begin(attempt);
    await store.settle(attempt, settlementOf());
    expect(await store.begin({ ...attempt, nonce: any() })).toEqual({ kind: "embedding_replayed" });
    expect(await store.begin({ ...attempt, nonce: any(), embedding: undefined })).toMatchObject({ kind: "first" });
  },

  "forgets an attempt that was abandoned, and no other's": async (createStore) => {
    const store = createStore(limits);
    const attempt = attemptOf(any());
    await store.begin(attempt);
    await store.abandon({ ...attempt, entryId: any() });
    expect(await store.begin(attempt)).toEqual({ kind: "under_way" });
    await store.abandon(attempt);
    expect(await store.begin({ ...attempt, nonce: any() })).toMatchObject({ kind: "first" });
    const settled = attemptOf(any());
    await store.begin(settled);
    await store.settle(settled, settlementOf());
    await store.abandon(settled);
    expect(await store.begin(settled)).toMatchObject({ kind: "repeated" });
  },

  "lets no burst have more denials than lock the device out": async (createStore) => {
    const store = createStore(limits);
    const deviceId = any();
    const attempts = Array.from({ length: 100 }, () => attemptOf(deviceId));
    const outcomes = await Promise.all(
      attempts.map(async (attempt) => {
        const { kind } = await store.begin(attempt);
        if (kind === "first") await store.settle(attempt, settlementOf({ isDenial: true }));
        return kind;
      }),
    );
    expect(outcomes.filter((kind) => kind === "first").length).toBe(limits.denialsMax);
    expect(await store.begin(attemptOf(deviceId))).toMatchObject({ kind: "locked_out", forMs: expect.any(Number) });
    expect(await store.begin(attemptOf(deviceId, { isGuess: false }))).toMatchObject({ kind: "first" });
    await eventually(async () => expect(await store.begin(attemptOf(deviceId))).toMatchObject({ kind: "first" }));
  },

  "keeps room for as many denials as there may be": async (createStore) => {
    const store = createStore(limits);
    const deviceId = any();
    const attempts = Array.from({ length: limits.denialsMax }, () => attemptOf(deviceId));
    for (const attempt of attempts) expect(await store.begin(attempt)).toMatchObject({ kind: "first" });
    expect(await store.begin(attemptOf(deviceId))).toEqual({ kind: "busy" });
    await store.settle(attempts[0]!, settlementOf());
    expect(await store.begin(attemptOf(deviceId))).toMatchObject({ kind: "first" });
    await store.abandon(attempts[1]!);
    expect(await store.begin(attemptOf(deviceId))).toMatchObject({ kind: "first" });
  },

  "takes so many attempts of a device in a minute": async (createStore) => {
    const store = createStore({ ...limits, attemptsPerMinuteMax: 2 });
    const deviceId = any();
    const kinds: string[] = [];
    for (let n = 0; n < 6; n += 1) kinds.push((await store.begin(attemptOf(deviceId, { isGuess: false }))).kind);
    // A minute may begin in between.
    expect(kinds.filter((kind) => kind === "too_many").length).toBeGreaterThanOrEqual(2);
    expect(kinds.slice(0, 2)).toEqual(["first", "first"]);
  },

  "remembers so many embeddings of a device": async (createStore) => {
    const store = createStore({ ...limits, embeddingsPerDeviceMax: 2 });
    const deviceId = any();
    const kinds: string[] = [];
    for (let n = 0; n < 3; n += 1) kinds.push((await store.begin(attemptOf(deviceId))).kind);
    expect(kinds).toEqual(["first", "first", "embeddings_full"]);
  },

  "lets in no more people than there is room for, however many come at once": async (createStore) => {
    const store = createStore(limits);
    const branchId = any();
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => enter(store, branchId, any())));
    expect(outcomes.filter((outcome) => outcome === "in").length).toBe(1);
  },

  "counts who went out no more, and who comes again once": async (createStore) => {
    const store = createStore(limits);
    const [branchId, ann, ben] = [any(), any(), any()];
    expect(await enter(store, branchId, ann)).toBe("in");
    expect(await enter(store, branchId, ann)).toBe("in");
    expect(await enter(store, branchId, ben)).toBe("full");
    expect(await enter(store, any(), ben)).toBe("in");
    const exit = attemptOf(any(), { embedding: undefined, isGuess: false });
    await store.begin(exit);
    await store.settle(exit, settlementOf({ branchId, memberId: ann, moves: "out" }));
    expect(await enter(store, branchId, ben)).toBe("in");
  },

  "counts who came in long ago no more": async (createStore) => {
    const store = createStore({ ...limits, stayMs: 200 });
    const [branchId, ann, ben] = [any(), any(), any()];
    expect(await enter(store, branchId, ann)).toBe("in");
    expect(await enter(store, branchId, ben)).toBe("full");
    await eventually(async () => expect(await enter(store, branchId, ben)).toBe("in"));
  },

  "lets somebody in by a pass once, however many come with it at once": async (createStore) => {
    const store = createStore(limits);
    const [branchId, passId] = [any(), any()];
    const use = async (capacityMax: number): Promise<string> => {
      const attempt = attemptOf(any());
      await store.begin(attempt);
      const entry = await store.settle(
        attempt,
        settlementOf({
          entry: Buffer.from("in"),
          branchId,
          memberId: any(),
          moves: "in",
          unlessFull: { capacityMax, entry: Buffer.from("full") },
          pass: { passId, keptMs: 60_000, entryIfUsed: Buffer.from("used") },
        }),
      );
      return entry.toString();
    };
    // Whom there is no room for has not used it.
    expect(await use(0)).toBe("full");
    const outcomes = await Promise.all(Array.from({ length: 10 }, () => use(100)));
    expect(outcomes.toSorted()).toEqual(["in", ...Array<string>(9).fill("used")]);
  },

  "forgets where a person is, and what was answered about them": async (createStore) => {
    const store = createStore(limits);
    const [branchId, ann, ben] = [any(), any(), any()];
    const attempt = attemptOf(any());
    await store.begin(attempt);
    await store.settle(attempt, settlementOf({ branchId, memberId: ann, moves: "in" }));
    await store.forget(ann);
    expect(await enter(store, branchId, ben)).toBe("in");
    expect(await store.begin({ ...attempt, embedding: undefined })).toMatchObject({ kind: "first" });
  },
};
