import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { RequestStore } from "../request/store.ts";
import type { CountChanges } from "./rules.ts";
import type { CountChange, InfoStore } from "./store.ts";

/** Changes that are taken up at a time. */
const takenUpMax = 100;
/** Remembered requests that one sweep forgets at most. */
const forgetMax = 1000;

/** Where half-done changes and old requests are found, and who finishes changes. */
export interface SweeperDeps {
  readonly infos: Pick<InfoStore, "takeUp">;
  readonly requests: Pick<RequestStore, "removeExpired">;
  readonly changes: Pick<CountChanges, "finish">;
  readonly clock: Clock;
  readonly log: Logger;
  /** Changes that nobody has worked on for so long are finished. Sweeps come at half of it, the first one at the start. */
  readonly ageMs: number;
}

/**
 * Finishes changes that were left half done, and forgets requests whose time is over. Each instance runs one: a change is
 * taken up for `ageMs`, so that they do not get in each other's way, and finishing one twice does no harm.
 */
export function createSweeper({ infos, requests, changes, clock, log, ageMs }: SweeperDeps): Component {
  const sweep = async (signal: AbortSignal): Promise<void> => {
    let taken: readonly CountChange[];
    do {
      taken = await infos.takeUp(ageMs, takenUpMax);
      const decisions = await changes.finish(taken);
      for (const [index, change] of taken.entries()) {
        const facts = { count_id: change.countId, operation: change.operation, info_revision: change.infoRevision };
        const decision = decisions[index];
        if (decision instanceof Error) {
          log.warn("a change that was left half done cannot be finished yet", { ...facts, err: decision });
        } else {
          log.info("finished a change that was left half done", { ...facts, outcome: decision?.kind });
        }
      }
    } while (taken.length === takenUpMax && !signal.aborted); // While a store hangs, what was taken up comes up again.
    await requests.removeExpired(forgetMax);
  };

  return createLoop({
    name: "count-management sweeper",
    clock,
    everyMs: ageMs / 2,
    work: sweep,
    onFailure: (error) => log.warn("a sweep failed", { err: error }),
  });
}
