import type { Clock } from "../../../platform/clock/clock.ts";
import type { ChangeId } from "../../shared/change-stream.ts";
import type { InstanceName, Instances } from "../../shared/instances.ts";

/** Waits for those who decide at doors. */
export interface AppliedWait {
  /**
   * Waits until every live process has applied a change of the face store, at most `waitMs`; 0: only looks. Returns those that have not, by id: none means
   * that no decision that begins from now on is made by what was before the change. Throws UNAVAILABLE, reason STORE_UNAVAILABLE; rejects with the signal's
   * reason when that aborts.
   */
  waitUntilApplied(changeId: ChangeId, waitMs: number, signal?: AbortSignal): Promise<readonly InstanceName[]>;
}

/** Pauses between looks: the first are short, since a process applies a change within milliseconds. */
const pausesMs = [1, 1, 2, 2, 4, 8, 16, 32] as const;
const pauseMsMax = 50;

/** Looks at the processes that have signed on in the face store. */
export function createAppliedWait(deps: {
  readonly instances: Instances;
  readonly clock: Pick<Clock, "monotonic" | "sleep">;
}): AppliedWait {
  const { instances, clock } = deps;
  return {
    waitUntilApplied: async (changeId, waitMs, signal) => {
      const endMs = clock.monotonic() + waitMs;
      for (let look = 0; ; look += 1) {
        const behind = await instances.behind(changeId);
        const leftMs = endMs - clock.monotonic();
        if (behind.length === 0 || leftMs <= 0) return behind;
        await clock.sleep(Math.min(leftMs, pausesMs[look] ?? pauseMsMax), signal);
      }
    },
  };
}
