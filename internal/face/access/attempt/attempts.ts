import { backoffMs } from "../../../platform/clock/backoff.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import { accessErrors } from "../errors.ts";
import type { StoreWatch } from "../face-store/watch.ts";
import {
  pendingMsMax,
  type Answered,
  type Attempt,
  type AttemptStore,
  type Begun,
  type PassMemory,
  type Settlement,
} from "./store.ts";

/** How it was made sure that an attempt is no repeat. */
export type ReplayCheck = "SHARED" | "LOCAL";

/** Sees to it that each attempt is decided once. */
export interface Attempts {
  /**
   * Has an attempt decided, unless it is refused (throws MuinError) or was decided before. Returns the entry that holds. When `decide` throws, the
   * attempt may come again.
   */
  once(attempt: Attempt, decide: (entryId: string, check: ReplayCheck) => Promise<Settlement>): Promise<Buffer>;
}

/** Pauses between two looks whether another call has decided. */
const lookBackoff = { minMs: 5, maxMs: 50 };
/** For so long a call waits for another with the same request: until whoever died has lost the attempt, and a little. */
const waitMsMax = pendingMsMax + 500;

/**
 * Attempts over the store that all processes share. What this process has seen it knows by itself too: so a repeat is one also when the store went away
 * since; and while it is away, that decides alone, by the same rules. What was answered so is kept until the shared store was told. A settlement is judged by
 * the process's own memory first, so that what is stored for all is what the device is told.
 */
export function createAttempts(deps: {
  readonly shared: AttemptStore;
  readonly own: AttemptStore & PassMemory;
  readonly untold: {
    /** Keeps what was answered without the shared store until that was told. Resolves once it is on disk. */
    keep(answered: Answered): Promise<void>;
  };
  readonly watch: StoreWatch;
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
}): Attempts {
  const { shared, own, untold, watch, clock, random } = deps;
  const inTurn = createTurns();

  /** What comes of a settlement. `mine` is the attempt as the shared store knows it, `here` as this process does. */
  const settle = async (mine: Attempt, here: Attempt, decided: Settlement, check: ReplayCheck): Promise<Buffer> => {
    const { pass } = decided;
    const settlement = pass !== undefined && own.isUsed(pass.passId) ? asUsed(decided, pass.entryIfUsed) : decided;
    const settled = check === "SHARED" ? await watch.ask(() => shared.settle(mine, settlement)) : undefined;
    if (settled?.kind === "answered") return own.settle(here, asSettled(settlement, settled.value));
    const entry = await own.settle(here, settlement);
    const kept = untold.keep(answeredOf(mine, settlement, entry));
    // Nobody is let in by a pass whose use might be forgotten. Of others it only helps that it is known.
    if (settlement.pass !== undefined && entry.equals(settlement.entry) && settlement.moves === "in") await kept;
    else kept.catch(() => undefined);
    return entry;
  };

  /** One look: `undefined` while another call decides. */
  const tryOnce = async (
    attempt: Attempt,
    decide: (entryId: string, check: ReplayCheck) => Promise<Settlement>,
  ): Promise<Buffer | undefined> => {
    const begunHere = await own.begin(attempt);
    if (begunHere.kind !== "first") return known(begunHere);
    const here = { ...attempt, entryId: begunHere.entryId };
    let mine = here;
    let check: ReplayCheck = "LOCAL";
    try {
      const begun = await watch.ask(() => shared.begin(mine));
      if (begun.kind === "answered") {
        if (begun.value.kind !== "first") {
          await own.abandon(here);
          return known(begun.value);
        }
        check = "SHARED";
        mine = { ...mine, entryId: begun.value.entryId };
      }
      const settlement = await decide(mine.entryId, check);
      return await inTurn(settlement.pass?.passId, () => settle(mine, here, settlement, check));
    } catch (error) {
      await own.abandon(here);
      if (check === "SHARED") await watch.ask(() => shared.abandon(mine)).catch(() => undefined); // The error above says why.
      throw error;
    }
  };

  return {
    once: async (attempt, decide) => {
      const endMs = clock.monotonic() + waitMsMax;
      for (let look = 1; ; look += 1) {
        const entry = await tryOnce(attempt, decide);
        if (entry !== undefined) return entry;
        if (clock.monotonic() >= endMs) throw accessErrors.attemptUnderWay();
        await clock.sleep(backoffMs(lookBackoff, look, random));
      }
    },
  };
}

/** Lets work with the same key run one after the other. */
function createTurns() {
  const last = new Map<string, Promise<unknown>>();
  return async <T>(key: string | undefined, work: () => Promise<T>): Promise<T> => {
    if (key === undefined) return work();
    const turn = (last.get(key) ?? Promise.resolve()).then(work, work);
    last.set(key, turn);
    try {
      return await turn;
    } finally {
      if (last.get(key) === turn) last.delete(key);
    }
  };
}

/** What comes of a pass that was used before. */
function asUsed(settlement: Settlement, entry: Buffer): Settlement {
  const nobody = { memberId: "", moves: undefined, unlessFull: undefined, pass: undefined };
  return { ...settlement, ...nobody, entry, isDenial: true };
}

/** What was answered, as the shared store is told of it. */
function answeredOf(attempt: Attempt, settlement: Settlement, entry: Buffer): Answered {
  const { branchId, memberId, pass, moves, isDenial } = settlement;
  const isOwn = entry.equals(settlement.entry);
  return {
    attempt,
    entry,
    isDenial: isOwn && isDenial,
    branchId,
    memberId,
    moves: isOwn ? moves : undefined,
    usedPass: isOwn && moves === "in" ? pass : undefined,
  };
}

/** What the shared store made of a settlement, for the process's own memory: it judges no capacity again. */
function asSettled(settlement: Settlement, entry: Buffer): Settlement {
  const isOwn = entry.equals(settlement.entry);
  return {
    ...settlement,
    entry,
    isDenial: isOwn && settlement.isDenial,
    moves: isOwn ? settlement.moves : undefined,
    unlessFull: undefined,
    // Known to be used by whoever went in with it; what another process knows stays there.
    pass: isOwn ? settlement.pass : undefined,
  };
}

/** The entry of an attempt that was decided, `undefined` while it is being decided. Throws where it is refused. */
function known(begun: Exclude<Begun, { readonly kind: "first" }>): Buffer | undefined {
  switch (begun.kind) {
    case "repeated":
      return begun.entry;
    case "under_way":
      return undefined;
    case "nonce_reused":
      throw accessErrors.nonceReused({
        violations: [{ field: "nonce", description: "was used for another request; choose a new one" }],
      });
    case "embedding_replayed":
      throw accessErrors.embeddingReplayed();
    case "locked_out":
      throw accessErrors.deviceLockedOut({ retryAfterMs: begun.forMs });
    case "busy":
      throw accessErrors.deviceBusy();
    case "too_many":
      throw accessErrors.deviceAttemptsExceeded();
    case "embeddings_full":
      throw accessErrors.embeddingsFull();
    default:
      return assertNever(begun);
  }
}
