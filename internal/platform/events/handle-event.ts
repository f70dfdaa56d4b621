import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { BusMeters } from "./bus-meters.ts";
import type { Subscription } from "./event-bus.ts";
import type { EventRecord } from "../service/event-record.ts";
import { isAway, pause, type Turn, TurnOverError } from "./insist.ts";

/** Why an event was given up on. */
export interface Failure {
  readonly reason: string;
  readonly attempts: number;
}

/** What handling needs beside the event. */
export interface HandlingDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly meters: Pick<BusMeters, "handled" | "retries">;
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
  const { log, meters } = deps;
  const labels = { service: subscription.service, topic: subscription.topic };
  for (let [attempt, failures] = [1, 0]; ; attempt++) {
    if (!turn.isValid()) throw new TurnOverError();
    try {
      await subscription.handle(record, { generation, attempt, signal: turn.signal });
      meters.handled.add(1, labels);
      return undefined;
    } catch (error) {
      if (turn.signal.aborted) throw new TurnOverError();
      if (!isAway(error)) failures++;
      log.warn("an event could not be handled", { event: record.id, subject: record.subject, attempt, err: error });
      if (failures >= subscription.attemptsMax) return { reason: String(error), attempts: failures };
      meters.retries.add(1, labels);
      await pause(attempt, turn.signal, deps);
    }
  }
}
