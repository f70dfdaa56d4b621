import type { Clock } from "../../../platform/clock/clock.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { ChangeId } from "../../shared/change-stream.ts";
import type { InstanceName, Instances } from "../../shared/instances.ts";
import { changesKey } from "../../shared/key-schema.ts";

/** How long a call waits for the doors, in milliseconds: they take a few. */
export const callWaitMs = 2000;

/** Waits for those who decide at doors. */
export interface AppliedWait {
  /**
   * Waits until every live process has applied a change of the face store, at most `waitMs`; 0: only looks. Returns those that have not, by id: none means
   * that no decision that begins from now on is made by what was before the change. Throws UNAVAILABLE, reason STORE_UNAVAILABLE; rejects with the signal's
   * reason when that aborts.
   */
  waitUntilApplied(changeId: ChangeId, waitMs: number, signal?: AbortSignal): Promise<readonly InstanceName[]>;
  /** The same for all changes that there are now. */
  waitUntilAllApplied(waitMs: number, signal?: AbortSignal): Promise<readonly InstanceName[]>;
}

/** Pauses between looks: the first are short, since a process applies a change within milliseconds. */
const pausesMs = [1, 1, 2, 2, 4, 8, 16, 32] as const;
const pauseMsMax = 50;

/** Looks at the processes that have signed on in the face store. */
export function createAppliedWait(deps: {
  readonly instances: Instances;
  /** The face store. */
  readonly store: RedisStore;
  readonly clock: Pick<Clock, "monotonic" | "sleep">;
}): AppliedWait {
  const { instances, store, clock } = deps;
  const waitUntilApplied: AppliedWait["waitUntilApplied"] = async (changeId, waitMs, signal) => {
    const endMs = clock.monotonic() + waitMs;
    for (let look = 0; ; look += 1) {
      const behind = await instances.behind(changeId);
      const leftMs = endMs - clock.monotonic();
      if (behind.length === 0 || leftMs <= 0) return behind;
      await clock.sleep(Math.min(leftMs, pausesMs[look] ?? pauseMsMax), signal);
    }
  };
  return {
    waitUntilApplied,
    waitUntilAllApplied: async (waitMs, signal) => {
      const last = await lastChange(store);
      return last === undefined ? [] : waitUntilApplied(last, waitMs, signal);
    },
  };
}

/** The id of the last change, also of one that was removed since; `undefined`: there was none. */
async function lastChange({ client }: RedisStore): Promise<ChangeId | undefined> {
  if ((await client.exists(changesKey)) === 0) return undefined;
  const fields = (await client.call("XINFO", "STREAM", changesKey)) as readonly unknown[];
  return String(fields[fields.indexOf("last-generated-id") + 1]);
}
