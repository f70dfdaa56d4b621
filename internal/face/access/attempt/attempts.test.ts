import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { storeErrors } from "../../../platform/errors/store-errors.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { createStoreWatch } from "../face-store/watch.ts";
import * as real from "./attempts.ts";
import { limits } from "./store.contract.ts";
import { createMemoryAttempts } from "./store-memory.ts";
import type { Attempt, AttemptStore, Settlement } from "./store.ts";

type Module = Pick<typeof real, "createAttempts">;

/** The shared memory, which the test takes away and gives back. */
function setUp({ createAttempts }: Module = real) {
  const state = { isAway: false };
  const kept = createMemoryAttempts(systemClock, limits);
  const unlessAway = <T>(work: () => Promise<T>): Promise<T> =>
    state.isAway ? Promise.reject(storeErrors.unavailable()) : work();
  const shared: AttemptStore = {
    begin: (attempt) => unlessAway(() => kept.begin(attempt)),
    settle: (attempt, settlement) => unlessAway(() => kept.settle(attempt, settlement)),
    abandon: (attempt) => unlessAway(() => kept.abandon(attempt)),
    forget: (memberId) => unlessAway(() => kept.forget(memberId)),
  };
  /** One of several processes; each asks anew whether the shared memory is there. */
  const newProcess = () =>
    createAttempts({
      shared,
      own: createMemoryAttempts(systemClock, limits),
      untold: { keep: () => Promise.resolve() },
      watch: createStoreWatch({ ...systemClock, monotonic: () => (step += 1000) }),
      clock: systemClock,
      random: systemRandom,
    });
  return { state, newProcess };
}
let step = 0;

const newAttempt = (): Attempt => ({
  deviceId: systemRandom.uuid(),
  nonce: systemRandom.uuid(),
  fingerprint: Buffer.alloc(32, 1),
  embedding: Buffer.from(systemRandom.bytes(16)),
  isGuess: true,
  entryId: systemRandom.uuid(),
});
const settlementOf = (text: string): Settlement => ({
  entry: Buffer.from(text),
  isDenial: false,
  branchId: "b",
  memberId: "",
  moves: undefined,
  unlessFull: undefined,
  pass: undefined,
});

/** What came of an attempt, or why it was refused. */
async function outcome(attempts: real.Attempts, attempt: Attempt): Promise<string> {
  try {
    const entry = await attempts.once(attempt, (entryId, check) =>
      Promise.resolve(settlementOf(`${check} ${entryId}`)),
    );
    return entry.toString();
  } catch (error) {
    return (error as { reason: string }).reason;
  }
}

async function checkAway(module?: Module): Promise<void> {
  const { state, newProcess } = setUp(module);
  const process = newProcess();
  const attempt = newAttempt();
  const repeat = { ...attempt, entryId: systemRandom.uuid() };
  state.isAway = true;
  const decided = `LOCAL ${attempt.entryId}`;
  expect([await outcome(process, attempt), await outcome(process, repeat)]).toEqual([decided, decided]);
  state.isAway = false;
  expect(await outcome(process, repeat)).toBe(decided);
  expect(await outcome(process, { ...repeat, nonce: systemRandom.uuid() })).toBe("EMBEDDING_REPLAYED");
}

async function checkGone(module?: Module): Promise<void> {
  const { state, newProcess } = setUp(module);
  const process = newProcess();
  const attempt = newAttempt();
  const decided = await outcome(process, attempt);
  expect(decided).toBe(`SHARED ${attempt.entryId}`);
  state.isAway = true;
  expect(await outcome(process, { ...attempt, entryId: systemRandom.uuid() })).toBe(decided);
  expect(await outcome(process, { ...attempt, fingerprint: Buffer.alloc(32, 2) })).toBe("NONCE_REUSED");
}

async function checkFailed(module?: Module): Promise<void> {
  const { newProcess } = setUp(module);
  const [one, two] = [newProcess(), newProcess()];
  const attempt = newAttempt();
  const failing = one.once(attempt, () => Promise.reject(new Error("no search")));
  expect(await failing.catch((error: unknown) => (error as Error).message)).toBe("no search");
  const again = { ...attempt, nonce: systemRandom.uuid() };
  expect(await outcome(two, again)).toBe(`SHARED ${again.entryId}`);
}

describe("an attempt", () => {
  test("is decided alone while the shared memory is away, by the same rules, and stays decided", () => checkAway());
  test("that was decided is known without the shared memory", () => checkGone());
  test("that failed may come again, to any process", () => checkFailed());

  test("that another process decides is waited for", async () => {
    const { newProcess } = setUp();
    const [one, two] = [newProcess(), newProcess()];
    const attempt = newAttempt();
    const deciding = Promise.withResolvers<Settlement>();
    const first = one.once(attempt, () => deciding.promise);
    const second = outcome(two, { ...attempt, entryId: systemRandom.uuid() });
    deciding.resolve(settlementOf("the first"));
    expect([(await first).toString(), await second]).toEqual(["the first", "the first"]);
  });
});

describe("a mutant is caught", () => {
  const path = join(import.meta.dir, "attempts.ts");
  test.each([
    [
      "does not know by itself what it decided",
      'if (begunHere.kind !== "first") return known(begunHere);',
      "",
      checkAway,
    ],
    [
      "keeps what failed",
      'if (check === "SHARED") await watch.ask(() => shared.abandon(mine))',
      "await Promise.resolve()",
      checkFailed,
    ],
  ] as const)("that %s", async (_, from, to, check) => {
    const mutant = await importMutant<Module>(path, from, to);
    await caught(() => check(mutant));
  });
});
