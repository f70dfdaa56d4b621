import { expect, test } from "bun:test";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { createSnapshotMeters } from "./meters.ts";

test("operators see what snapshots take, how old they are, and what they were good for", async () => {
  const metrics = createMetrics();
  const meters = createSnapshotMeters(metrics);
  meters.show({ bytes: 1000, branches: 2, ageMs: 250 });
  meters.hedge.fired();
  meters.hedge.fired();
  meters.hedge.won();
  meters.refused();
  const lines = (await metrics.render()).split("\n").filter((line) => line.startsWith("muin_access_"));
  expect(lines.toSorted()).toEqual([
    "muin_access_hedges_total 2",
    "muin_access_hedges_won_total 1",
    "muin_access_snapshot_age_seconds 0.25",
    "muin_access_snapshot_branches 2",
    "muin_access_snapshot_bytes 1000",
    "muin_access_snapshot_refused_total 1",
  ]);
});
