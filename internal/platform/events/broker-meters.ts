import type { Metrics } from "../telemetry/metrics.ts";

/** What a broker counts. */
export type BrokerMeters = ReturnType<typeof createBrokerMeters>;

/** Creates the metrics of a broker, the same for every implementation. */
export function createBrokerMeters(metrics: Metrics) {
  const labels = ["service", "topic"] as const;
  return {
    published: metrics.counter({ name: "events_published_total", help: "Events stored on the bus." }),
    batches: metrics.counter({ name: "events_publish_batches_total", help: "Calls that stored events on the bus." }),
    handled: metrics.counter({ name: "events_handled_total", help: "Events handled.", labels }),
    retries: metrics.counter({ name: "events_retries_total", help: "Further attempts at an event.", labels }),
    parked: metrics.counter({ name: "events_parked_total", help: "Events given up on or waiting behind one.", labels }),
    lost: metrics.counter({ name: "events_lost_total", help: "Events removed before they were handled.", labels }),
    lag: metrics.gauge({ name: "events_lag", help: "Events stored and not yet handled.", labels }),
    deadLetters: metrics.gauge({ name: "events_dead_letters", help: "Events waiting to be redriven.", labels }),
    lostSince: metrics.gauge({
      name: "events_consumer_lost_since_seconds",
      help: "Unix time since which the consumer missed events in its present or last loss; 0 without one.",
      labels,
    }),
    spoilt: metrics.gauge({
      name: "events_spoilt_places",
      help: "Partitions and consumers of a topic that cannot be read for what stands in their keys.",
      labels: ["topic"],
    }),
    isLost: metrics.gauge({ name: "events_consumer_lost", help: "1 when the consumer must be rebuilt.", labels }),
  };
}
