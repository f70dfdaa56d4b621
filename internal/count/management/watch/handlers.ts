import type { Database } from "../../../platform/postgres/database.ts";
import type { ManyDelivery } from "../../../platform/service/delivery.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { Changes } from "./read-changes.ts";
import { runsOf } from "./rules.ts";
import type { WatchStore } from "./store.ts";

/** Advances the sums by changes as they come, and counts and logs what they show to be wrong. */
export function createWatchHandler(deps: {
  readonly database: Database;
  readonly watch: Pick<WatchStore, "advance">;
  readonly log: Logger;
  readonly metrics: Metrics;
}): (events: readonly Changes[], delivery: ManyDelivery<Changes>) => Promise<void> {
  const { database, watch, log } = deps;
  const failures = deps.metrics.counter({
    name: "count_watch_failures_total",
    help: "Counts whose change events were first seen to miss a revision, or to add up to another value.",
    labels: ["kind"],
  });
  return async (events, delivery) => {
    const told = events.map((event) => ({ epoch: delivery.epochOf(event), changes: event }));
    // Revisions tell a repeat: no inbox is needed.
    const found = await database.transaction((tx) => watch.advance(tx, runsOf(told)));
    for (const { countId, kind, revision } of found) {
      failures.add(1, { kind });
      log.error("the change events of a Count do not add up", { count_id: countId, kind, revision: `${revision}` });
    }
  };
}
