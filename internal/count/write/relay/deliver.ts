import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { FencedError, type LeaseTerm } from "../../../platform/lease/leases.ts";
import { retry } from "../../../platform/lifecycle/retry.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { EventPublisher } from "../../../platform/service/event-record.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import { trimEntries } from "../outbox/store-redis.ts";
import type { Parking } from "./parking.ts";
import { type MadeEntry, type PublishedEntries, publishEntries } from "./publish-entries.ts";

/** Pause after a failure, before the next attempt. */
const retryPause = { minMs: 200, maxMs: 1000 };

/** Brings entries to the bus. */
type Delivery = (
  entries: readonly MadeEntry[],
  parking: Parking,
  term: LeaseTerm,
  signal: AbortSignal,
) => Promise<void>;

/** Publishes entries until the bus has answered, trims those that it took, and parks the others. Rejects only when fenced or stopped. */
export function createDelivery(deps: {
  readonly store: RedisStore;
  readonly broker: EventPublisher;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly metrics: Metrics;
}): Delivery {
  const { store, broker, clock, random, log } = deps;
  const published = deps.metrics.counter({
    name: "count_write_outbox_published_total",
    help: "Outbox entries that the bus acknowledged.",
  });

  /** Repeats a step that is safe to repeat until it is done. Throws only when fenced or stopped. */
  const persist = (step: () => Promise<void>, failure: string, signal: AbortSignal): Promise<void> =>
    retry(step, {
      ...retryPause,
      clock,
      random,
      signal,
      isRetryable: (error) => !(error instanceof FencedError),
      onPause: (error) => log.warn(failure, { err: error }),
    });

  return async (entries, parking, term, signal) => {
    const refusal = "the event bus does not take changes of Counts; they wait";
    let outcome: PublishedEntries = { published: [], refused: [] };
    const publish = async (): Promise<void> => {
      outcome = await publishEntries(broker, entries, term);
    };
    await persist(publish, refusal, signal);
    const done = outcome.published;
    published.add(done.length);
    await persist(() => trimEntries(store, done), "the outbox was not trimmed", signal);
    await parking.settle(outcome);
  };
}
