import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { isAtLeast, type ChangeId, type ChangeReader } from "../../shared/change-stream.ts";
import { accessErrors } from "../errors.ts";
import { isAway, type StoreWatch } from "../face-store/watch.ts";
import { keptSeenChange, type SeenChange } from "./seen.ts";
import { createRedisDoubts, type DoubtStore } from "./store.ts";

/** How often it is looked whether there is something to ask for, and kept what was seen. */
const everyMs = 1000;
/** Without an answer nothing can be decided by the store: it is waited for so long. */
const readMsMax = 1000;

/** Knows whether the copies of people and branches in the face Redis may be older than what doors were told. */
export interface Doubt extends Component {
  /** Looks whether there is doubt at this moment. To be called before copies are read, or while they are. */
  look(branchId: string): Promise<Look>;
  /** The same reader, from which it also learns which changes there are. */
  following<Change>(reader: ChangeReader<Change>): ChangeReader<Change>;
}

/** What was seen at a moment. */
export interface Look {
  /**
   * Resolves when a person may be judged by their copy and the branch's: "copies" by those that were read, "anew" by those that are read after this. Throws
   * FACE_STORE_UNAVAILABLE while there is doubt about one of them. `by`: where the copies come from.
   */
  judge(memberId: string, by: "store" | "snapshot"): Promise<"copies" | "anew">;
}

interface DoubtDeps {
  readonly store: Pick<RedisStore, "client">;
  /** The instance's, which one process at a time holds. */
  readonly folder: string;
  readonly watch: StoreWatch;
  /** Asks the owners of people and branches to tell all of them again. */
  readonly ask: () => Promise<void>;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * A face Redis that was started may have been given an older file, or none: whoever was suspended since would be let in. Each process keeps in its folder which change of
 * a copy it saw last. After each new connection, and before a decision by it, that change must still be there: after a plain restart it is, and nothing is held up. Where it is not, all copies
 * are doubted, in all processes; the owners of people and branches are asked to tell all of them again, and each is judged again once it was told.
 */
export function createDoubt(deps: DoubtDeps): Doubt {
  const { store, folder, watch, ask, clock, log } = deps;
  const doubts = createRedisDoubts(store);
  const checked = createCheck({ store, doubts, kept: keptSeenChange(folder), log });
  let wasDoubted = false;

  const read = async (branchId: string): Promise<State> => {
    while (!checked.isChecked()) await checked.check();
    const { term } = checked;
    const state = await doubts.branch(branchId);
    wasDoubted = state.isDoubted;
    return { term, ...state };
  };
  const inTime = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await timeout(clock, readMsMax, work);
    } catch (error) {
      throw isAway(error) ? accessErrors.faceStoreUnavailable({ cause: error }) : error;
    }
  };
  const askIfDue = async (): Promise<void> => {
    if (!(await doubts.claim())) return;
    await ask();
    await doubts.asked();
    log.info("asked for people and branches again: their copies are doubted");
  };
  const loop = createLoop({
    name: "access doubts about copies",
    clock,
    everyMs,
    atStop: true,
    work: async (signal) => {
      if (!signal.aborted) await checked.check();
      await checked.keep().catch((error: unknown) => log.warn("what was seen of copies is not kept", { err: error }));
      if (!signal.aborted) await askIfDue();
    },
    onFailure: (error) => log.debug("doubts about copies wait", { err: error }), // The connections themselves say what is away.
  });

  return {
    ...loop,
    look: async (branchId) => {
      const answer = await watch.ask(() => read(branchId));
      return {
        judge: async (memberId, by) => {
          let state = answer.kind === "answered" ? answer.value : undefined;
          // A snapshot was made before the store went away; whether it is doubted is known from then.
          if (state === undefined && by === "snapshot" && checked.wasChecked() && !wasDoubted) return "copies";
          // Another process may answer by now.
          if (state === undefined || (state.term !== checked.term && by === "store"))
            state = await inTime(() => read(branchId));
          if (!state.isDoubted) return "copies";
          if (state.isTold && (await inTime(() => doubts.isMemberTold(memberId)))) return "anew";
          await inTime(() => doubts.miss());
          throw accessErrors.faceStoreUnavailable();
        },
      };
    },
    following: (reader) => ({
      ...reader,
      read: async (position) => {
        const found = await reader.read(position);
        if (found.kind === "lost") checked.missed();
        else if (found.entries.length > 0) checked.saw(found.position);
        return found;
      },
    }),
  };
}

/** What was read in a term. */
interface State {
  readonly term: number;
  readonly isDoubted: boolean;
  readonly isTold: boolean;
}

/** Holds the store against what was seen of it. */
function createCheck(deps: {
  readonly store: Pick<RedisStore, "client">;
  readonly doubts: Pick<DoubtStore, "look" | "raise">;
  readonly kept: SeenChange;
  readonly log: Logger;
}) {
  const { store, doubts, kept, log } = deps;
  /** Grows with each connection that ended, and whenever changes were missed. */
  let term = 0;
  /** The term in which the seen change was found, or doubt raised. */
  let checkedTerm = -1;
  let seen: ChangeId | undefined;
  let written: ChangeId | undefined;
  let isRead = false;
  let checking: Promise<void> | undefined;
  store.client.on("close", () => (term += 1));

  const check = async (): Promise<void> => {
    const inTerm = term;
    if (!isRead) {
      written = await kept.read();
      seen ??= written;
      isRead = true;
    }
    const { runId, isOlder, last } = await doubts.look(seen);
    if (isOlder) {
      log.error("the face store is older than what was seen of it: its copies are doubted", { run_id: runId });
      await doubts.raise(runId);
    }
    // What was followed meanwhile may be later.
    if (isOlder || seen === undefined || (last !== undefined && isAtLeast(last, seen))) seen = last;
    if (term === inTerm) checkedTerm = inTerm;
  };
  return {
    get term() {
      return term;
    },
    isChecked: () => checkedTerm === term,
    wasChecked: () => checkedTerm >= 0,
    check: (): Promise<void> => (checking ??= check().finally(() => (checking = undefined))),
    missed: () => {
      term += 1;
    },
    saw: (id: ChangeId) => {
      if (checkedTerm === term) seen = id;
    },
    keep: async (): Promise<void> => {
      const now = seen;
      if (checkedTerm !== term || now === written) return;
      await kept.write(now);
      written = now;
    },
  };
}
