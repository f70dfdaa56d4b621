import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { EntryStore } from "./store.ts";

const everyMs = 60_000;
const dayMs = 86_400_000;
/** Removed in one transaction: it holds up whoever records, for some hundredths of a second. */
const batchMax = 2000;

/** Removes entries whose time is over. */
export function createRetention(deps: {
  readonly database: Database;
  readonly entries: Pick<EntryStore, "remove">;
  readonly retentionDays: number;
  readonly clock: Clock;
  readonly log: Logger;
}): Component & { /** One turn. */ readonly removeOld: (signal?: AbortSignal) => Promise<void> } {
  const { database, entries, retentionDays, clock, log } = deps;
  const removeOld = async (signal?: AbortSignal): Promise<void> => {
    const beforeMs = clock.now() - retentionDays * dayMs;
    for (;;) {
      const removed = await database.transaction((tx) => entries.remove(tx, beforeMs, batchMax));
      if (removed < batchMax || signal?.aborted === true) return;
    }
  };
  const loop = createLoop({
    name: "access removal of old entries",
    clock,
    everyMs,
    work: removeOld,
    onFailure: (error) => log.warn("old entries could not be removed", { err: error }),
  });
  return { ...loop, removeOld };
}
