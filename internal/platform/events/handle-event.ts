import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { retry } from "../lifecycle/retry.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { BrokerMeters } from "./broker-meters.ts";
import type { Subscription } from "./broker.ts";
import type { EventRecord } from "../service/event-record.ts";
import { isAway, type Turn, turnBackoff, TurnOverError } from "./turn.ts";

/** Why an event was given up on. */
export interface Failure {
  readonly reason: string;
  readonly attempts: number;
}

/** Time, chance, log and meters of the handling. */
export interface HandlingDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meters: Pick<BrokerMeters, "handled" | "retries">;
}

/**
 * Runs the subscription's handler until it succeeds (undefined) or has failed as often as it may. Something that is away does not
 * count as failing. Rejects with `TurnOverError` or the signal's reason when the turn is over.
 */
export async function handleEvent(
  subscription: Subscription,
  record: EventRecord,
  { generation, turn }: { readonly generation: number; readonly turn: Turn },
  deps: HandlingDeps,
): Promise<Failure | undefined> {
  const { clock, random, log, meters } = deps;
  const labels = { service: subscription.service, topic: subscription.topic };
  let failures = 0;
  const attempt = async (number: number): Promise<Failure | undefined> => {
    if (!turn.isValid()) throw new TurnOverError();
    try {
      await subscription.handle(record, { generation, attempt: number, signal: turn.signal });
      meters.handled.add(1, labels);
      return undefined;
    } catch (error) {
      if (turn.signal.aborted) throw new TurnOverError();
      if (!isAway(error)) failures++;
      log.warn("an event could not be handled", {
        event: record.id,
        subject: record.subject,
        attempt: number,
        err: error,
      });
      if (failures >= subscription.attemptsMax) return { reason: String(error), attempts: failures };
      throw error;
    }
  };
  return retry(attempt, {
    clock,
    random,
    ...turnBackoff,
    isRetryable: (error) => !(error instanceof TurnOverError),
    onPause: () => meters.retries.add(1, labels),
    signal: turn.signal,
  });
}
