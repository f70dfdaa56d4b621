import type { ServiceDeps } from "../../../platform/service/define-service.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import type { CountVerifier } from "./rules.ts";
import type { WatchVerdict } from "../watch/rules.ts";

/** Pause between two rounds over all Counts. */
const roundPauseMs = 10_000;
/** Counts compared at a time, and the pause after them: the counts store has other work. */
const pageSize = 1000;
const pagePauseMs = 100;

/** Compares all Counts with the sums of their changes, round after round in one process, and keeps a metric of the verdicts. */
export function createAuditor({
  verifier,
  leases,
  clock,
  log,
  metrics,
}: Pick<ServiceDeps, "leases" | "clock" | "log" | "metrics"> & {
  readonly verifier: Pick<CountVerifier, "verify">;
}): Component {
  const gauge = metrics.gauge({
    name: "count_watch_counts",
    help: "Counts by how their value compared with the sum of their changes when it was last looked at.",
    labels: ["verdict"],
  });
  const round = async (signal: AbortSignal): Promise<void> => {
    const tally: Record<WatchVerdict, number> = { EQUAL: 0, BEHIND: 0, DIFFERENT: 0, GAP: 0 };
    for (let after = ""; !signal.aborted;) {
      const { checks, last } = await verifier.verify("", after, pageSize);
      for (const { watched, stored, verdict } of checks) {
        tally[verdict] += 1;
        if (verdict !== "DIFFERENT" && verdict !== "GAP") continue;
        log.error("a Count's value is not the sum of its changes", {
          count_id: watched.countId,
          verdict,
          sum: `${watched.sum}@${watched.sumRevision}`,
          value: `${stored.value}@${stored.revision}`,
        });
      }
      if (last === "") break;
      after = last;
      await clock.sleep(pagePauseMs, signal);
    }
    for (const [verdict, count] of Object.entries(tally)) gauge.set(count, { verdict: verdict.toLowerCase() });
  };
  return leases.leaseholder("count-management:audit", async (_, signal) => {
    while (!signal.aborted) {
      await round(signal).catch((error: unknown) => {
        if (!signal.aborted) log.warn("Counts could not be compared with their changes", { err: error });
      });
      await clock.sleep(roundPauseMs, signal).catch(() => undefined); // Ends the loop.
    }
  });
}
