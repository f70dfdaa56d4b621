import type { DescEnum } from "@bufbuild/protobuf";
import {
  DecisionReasonSchema,
  DecisionSchema,
  DecisionSource,
  DecisionSourceSchema,
  EntryKindSchema,
  ReplayCheckSchema,
  type Entry,
} from "../../../gen/muin/face/v1/entry_pb.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";

/** Upper bounds in seconds: a decision takes some milliseconds. */
const buckets = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1];
const microsPerSecond = 1_000_000;

/** Counts decisions. */
export interface DecisionMeters {
  decided(entry: Entry): void;
}

export function createDecisionMeters(metrics: Metrics): DecisionMeters {
  const decisions = metrics.counter({
    name: "access_decisions_total",
    help: "Decisions at doors, exits included.",
    labels: ["kind", "decision", "reason", "source", "replay_check"],
  });
  const duration = metrics.histogram({
    name: "access_decision_seconds",
    help: "From the request's arrival to the decision.",
    labels: ["kind", "source"],
    buckets,
  });
  const search = metrics.histogram({
    name: "access_search_seconds",
    help: "Of that, the search for the face.",
    labels: ["kind", "source"],
    buckets,
  });
  return {
    decided: (entry) => {
      const kind = nameOf(EntryKindSchema, entry.kind);
      const source = nameOf(DecisionSourceSchema, entry.source);
      decisions.add(1, {
        kind,
        source,
        decision: nameOf(DecisionSchema, entry.decision),
        reason: nameOf(DecisionReasonSchema, entry.reason),
        replay_check: nameOf(ReplayCheckSchema, entry.replayCheck),
      });
      duration.observe(Number(entry.decideMicros) / microsPerSecond, { kind, source });
      if (entry.source !== DecisionSource.UNSPECIFIED) {
        search.observe(Number(entry.searchMicros) / microsPerSecond, { kind, source });
      }
    },
  };
}

/** The name of an enum's value, such as "ADMITTED". */
export function nameOf(schema: DescEnum, value: number): string {
  return schema.value[value]?.localName ?? "UNSPECIFIED";
}
