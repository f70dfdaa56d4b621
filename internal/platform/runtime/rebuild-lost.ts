import type { Clock } from "../clock/clock.ts";
import type { ConsumerGroups } from "../events/consumer-groups.ts";
import type { Leases } from "../lease/leases.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Component } from "../lifecycle/component.ts";
import type { Rebuilder } from "../service/parts.ts";

/** Pause between two looks at the consumer's state. */
const lookEveryMs = 2000;

/**
 * Watches whether retention removed events of a topic before a consumer had handled them, has the service rebuild what it made of them, and
 * then lets the consumer read on from the oldest retained event, in a new inbox generation. At most one process does it at a time.
 */
export function createLostRebuilder(options: {
  readonly service: string;
  readonly topic: string;
  readonly rebuilder: Rebuilder;
  readonly consumerGroups: ConsumerGroups;
  readonly leases: Pick<Leases, "leaseholder">;
  readonly clock: Clock;
  readonly log: Logger;
}): Component {
  const { service, topic, rebuilder, consumerGroups, leases, clock, log } = options;
  const look = async (): Promise<void> => {
    const states = await consumerGroups.states();
    if (!states.some((state) => state.service === service && state.topic === topic && state.lost)) return;
    // First, so that a crash before the replay leaves the mark and all of it is done again.
    await rebuilder.rebuild();
    const generation = await consumerGroups.replay(service, topic);
    // Once more: what was removed during the first is behind the new position and no longer marked.
    await rebuilder.rebuild();
    log.warn("rebuilt a consumer that had missed events", { topic, generation });
  };
  return leases.leaseholder(`${service}:rebuild:${topic}`, async (_, signal) => {
    while (!signal.aborted) {
      await look().catch((error: unknown) =>
        log.warn("a consumer's state could not be looked at", { topic, err: error }),
      );
      await clock.sleep(lookEveryMs, signal).catch(() => undefined); // Ends the loop.
    }
  });
}
