import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { HedgeMeters } from "./hedge.ts";

/** What operators see of snapshots. */
export interface SnapshotMeters {
  readonly hedge: HedgeMeters;
  /** A search was refused because too many waited. */
  refused(): void;
  /** How things are now. */
  show(now: { readonly bytes: number; readonly branches: number; readonly ageMs: number }): void;
}

/** Makes the metrics. */
export function createSnapshotMeters(metrics: Metrics): SnapshotMeters {
  const fired = metrics.counter({
    name: "access_hedges_total",
    help: "Searches for which the snapshot was asked, because the face store had not answered yet or could not.",
  });
  const won = metrics.counter({
    name: "access_hedges_won_total",
    help: "Searches that were decided by the snapshot.",
  });
  const refused = metrics.counter({
    name: "access_snapshot_refused_total",
    help: "Searches of snapshots that were refused because too many waited.",
  });
  const bytes = metrics.gauge({ name: "access_snapshot_bytes", help: "Memory that snapshots take, in bytes." });
  const branches = metrics.gauge({ name: "access_snapshot_branches", help: "Branches of which there is a snapshot." });
  const age = metrics.gauge({
    name: "access_snapshot_age_seconds",
    help: "How old snapshots may be at most; +Inf when they are not used.",
  });
  return {
    hedge: { fired: () => fired.add(1), won: () => won.add(1) },
    refused: () => refused.add(1),
    show: (now) => {
      bytes.set(now.bytes);
      branches.set(now.branches);
      age.set(now.ageMs / 1000);
    },
  };
}
