import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import { openRedis, type OpenRedis } from "../../../platform/redis/open-redis.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { sharedRedis } from "../../../platform/testing/redis.ts";
import { createServerFolder } from "../../../platform/testing/server-folder.ts";
import { silentLog } from "../../../platform/testing/local-stores.ts";
import { createStoreWatch } from "../face-store/watch.ts";
import * as realAnswered from "./answered-redis.ts";
import * as realAttempts from "./attempts.ts";
import { limits } from "./store.contract.ts";
import { createMemoryAttempts } from "./store-memory.ts";
import { createRedisAttempts } from "./store-redis.ts";
import type { Answered, AnsweredStore, Attempt, AttemptStore } from "./store.ts";
import * as realUntold from "./untold.ts";

let redis: OpenRedis;
beforeAll(async () => {
  redis = openRedis({ url: (await sharedRedis()).url, name: "test" });
  await redis.start();
});
afterAll(() => redis.stop());

const any = (): string => systemRandom.uuid();

interface Modules {
  readonly attempts?: Pick<typeof realAttempts, "createAttempts">;
  readonly answered?: Pick<typeof realAnswered, "createRedisAnswered">;
  readonly untold?: Pick<typeof realUntold, "createUntold">;
}

/** A process with a folder, from which the test takes the face Redis away, and gives it back. */
async function startProcess(folder: string, modules: Modules = {}) {
  const state = { isAway: false, isTold: true };
  const { createRedisAnswered } = modules.answered ?? realAnswered;
  const kept = { ...createRedisAttempts(redis, limits), ...createRedisAnswered(redis, limits) };
  const unlessAway = <T>(work: () => Promise<T>): Promise<T> =>
    state.isAway ? Promise.reject(storeErrors.unavailable()) : work();
  const shared: AttemptStore & AnsweredStore = {
    begin: (attempt) => unlessAway(() => kept.begin(attempt)),
    settle: (attempt, settlement) => unlessAway(() => kept.settle(attempt, settlement)),
    abandon: (attempt) => unlessAway(() => kept.abandon(attempt)),
    forget: (memberId) => unlessAway(() => kept.forget(memberId)),
    tell: (answered, agoMs) =>
      state.isTold ? unlessAway(() => kept.tell(answered, agoMs)) : Promise.reject(storeErrors.unavailable()),
  };
  const own = createMemoryAttempts(systemClock, limits);
  const { createUntold } = modules.untold ?? realUntold;
  const untold = createUntold({ shared, own, folder, clock: systemClock, log: silentLog });
  await untold.start();
  let step = 0;
  const watch = createStoreWatch({ ...systemClock, monotonic: () => (step += 1000) });
  const { createAttempts } = modules.attempts ?? realAttempts;
  const attempts = createAttempts({ shared, own, untold, watch, clock: systemClock, random: systemRandom });
  /** Shows a pass, and says what the device is told. */
  const show = async (passId: string, attempt = newAttempt()): Promise<string> => {
    const entry = await attempts.once(attempt, (entryId) =>
      Promise.resolve({
        entry: Buffer.from(`in ${entryId}`),
        isDenial: false,
        branchId: "b",
        memberId: "",
        moves: "in" as const,
        unlessFull: undefined,
        pass: { passId, keptMs: 60_000, entryIfUsed: Buffer.from(`used ${entryId}`) },
      }),
    );
    return entry.toString().split(" ")[0] ?? "";
  };
  return { state, show, [Symbol.asyncDispose]: () => untold.stop() };
}

function newAttempt(): Attempt {
  return {
    deviceId: any(),
    nonce: any(),
    fingerprint: Buffer.alloc(32, 1),
    embedding: undefined,
    isGuess: true,
    entryId: any(),
  };
}

const newFolder = async (): Promise<string> => join((await createServerFolder("untold")).path, "untold");

async function checkTold(modules?: Modules): Promise<void> {
  await using one = await startProcess(await newFolder(), modules);
  await using two = await startProcess(await newFolder(), modules);
  const [passId, attempt] = [any(), newAttempt()];
  one.state.isAway = true;
  expect(await one.show(passId, attempt)).toBe("in");
  one.state.isAway = false;
  await eventually(async () => expect(await redis.client.exists(`{face}:d:pass:${passId}`)).toBe(1), {
    timeoutMs: 3000,
  });
  expect(await two.show(passId)).toBe("used");
  expect(await two.show(passId, { ...attempt, entryId: any() })).toBe("in");
}

async function checkRestart(modules?: Modules): Promise<void> {
  const folder = await newFolder();
  const passId = any();
  {
    await using before = await startProcess(folder, modules);
    before.state.isAway = true;
    expect(await before.show(passId)).toBe("in");
  }
  await using after = await startProcess(folder, modules);
  after.state.isAway = true;
  expect(await after.show(passId)).toBe("used");
}

async function checkAgreed(modules?: Modules): Promise<void> {
  await using one = await startProcess(await newFolder(), modules);
  await using two = await startProcess(await newFolder(), modules);
  const [passId, attempt] = [any(), newAttempt()];
  one.state.isTold = false;
  one.state.isAway = true;
  expect(await one.show(passId)).toBe("in");
  one.state.isAway = false;
  expect(await one.show(passId, attempt)).toBe("used");
  expect(await two.show(passId, { ...attempt, entryId: any() })).toBe("used");
}

/** Tells of a denial many times. */
async function checkRepeated({ answered: module = realAnswered }: Modules = {}): Promise<void> {
  const attempts = { ...createRedisAttempts(redis, limits), ...module.createRedisAnswered(redis, limits) };
  const attempt = { ...newAttempt(), embedding: Buffer.from(systemRandom.bytes(16)) };
  const answered: Answered = {
    attempt,
    entry: Buffer.from(`no ${attempt.entryId}`),
    isDenial: true,
    branchId: any(),
    memberId: "",
    moves: undefined,
    usedPass: undefined,
  };
  for (let n = 0; n <= limits.denialsMax; n += 1) await attempts.tell(answered, 10);
  expect(await attempts.begin({ ...attempt, entryId: any() })).toEqual({ kind: "repeated", entry: answered.entry });
  expect(await attempts.begin({ ...attempt, nonce: any() })).toEqual({ kind: "embedding_replayed" });
  for (let n = 1; n < limits.denialsMax; n += 1) {
    const other = { ...newAttempt(), deviceId: attempt.deviceId };
    await attempts.tell({ ...answered, attempt: other, entry: Buffer.from(other.entryId) }, 10);
  }
  const next = { ...newAttempt(), deviceId: attempt.deviceId };
  expect(await attempts.begin(next)).toMatchObject({ kind: "locked_out" });
}

describe("what was answered without the face store", () => {
  test("is told as soon as it is there: a used pass opens nowhere, and its nonce has the reply that was given", () =>
    checkTold());
  test("outlives a restart: a used pass opens nowhere, also while the store is away", () => checkRestart());
  test("holds against the store: what is settled there is what the device is told", () => checkAgreed());
  test("is told as often as it takes, and counts once", () => checkRepeated());

  test("of somebody who was erased meanwhile says only that the pass was used", async () => {
    const store = { ...createRedisAttempts(redis, limits), ...realAnswered.createRedisAnswered(redis, limits) };
    const [memberId, branchId, passId, attempt] = [any(), any(), any(), newAttempt()];
    await redis.client.set(`{face}:d:member:${memberId}`, "DELETED|0|0|0|0|");
    const entry = Buffer.from(`in ${attempt.entryId}`);
    const usedPass = { passId, keptMs: 60_000 };
    await store.tell({ attempt, entry, isDenial: false, branchId, memberId, moves: "in", usedPass }, 10);
    const kinds = ["pass", "inside", "trace"] as const;
    const names = { pass: passId, inside: branchId, trace: memberId };
    const found = await Promise.all(kinds.map((kind) => redis.client.exists(`{face}:d:${kind}:${names[kind]}`)));
    expect(found).toEqual([1, 0, 0]);
    expect(await store.begin(attempt)).toMatchObject({ kind: "first" });
  });
});

describe("a mutant is caught", () => {
  test.each([
    ["attempts", "tells nobody", "untold.keep(answeredOf(mine, settlement, entry))", "Promise.resolve()", checkTold],
    ["attempts", "has the store settle what it denies", "own.isUsed(pass.passId)", "false", checkAgreed],
    ["untold", "forgets used passes", "if (usedPass !== undefined) own.recall", "if (false) own.recall", checkRestart],
    ["answered-redis", "counts no denial", "if denial and not is_told", "if false", checkRepeated],
  ] as const)("%s: that %s", async (file, _, from, to, check) => {
    const mutant = await importMutant<never>(join(import.meta.dir, `${file}.ts`), from, to);
    const name = file === "answered-redis" ? "answered" : file;
    await caught(() => check({ [name]: mutant }));
  });
});
