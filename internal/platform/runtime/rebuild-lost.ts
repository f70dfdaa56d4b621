import type { Clock } from "../clock/clock.ts";
import type { ConsumerGroups, ConsumerGroupState } from "../events/consumer-groups.ts";
import type { Leases } from "../lease/leases.ts";
import type { Component } from "../lifecycle/component.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Pause between two looks at the consumers' state. */
const lookEveryMs = 2000;

/** A topic that a service consumes as a group, and how it makes good what it missed. */
export interface RebuiltTopic {
  readonly topic: string;
  /** Whether it consumes state there, which can be told again. */
  readonly isState: boolean;
  /** What the service does by itself. */
  readonly rebuild: (() => Promise<void>) | undefined;
}

/** Heals the consumer groups of a service. */
export interface LostRebuilder extends Component {
  /** Rebuilds what the service made of a topic, LOST or not. Returns the new inbox generation. */
  rebuild(topic: RebuiltTopic): Promise<number>;
}

/**
 * Watches whether retention removed events of a topic before a consumer group had handled them. It then has the service rebuild what it made of
 * them, asks their owners to tell their state again, and lets the consumer read on from the oldest retained event, in a new inbox
 * generation. What can be neither rebuilt nor told again is lost: that is said, and the consumer goes on. At most one process does it at a time.
 */
export function createLostRebuilder(options: {
  readonly service: string;
  readonly topics: readonly RebuiltTopic[];
  /** Asks for the state of a topic again: everything before `sinceMs`, by the clock of the bus, is there; `undefined`: nothing may be. */
  readonly ask: (topic: string, sinceMs: number | undefined) => Promise<void>;
  readonly consumerGroups: Pick<ConsumerGroups, "states" | "replay" | "settle">;
  readonly leases: Pick<Leases, "leaseholder">;
  readonly clock: Clock;
  readonly log: Logger;
}): LostRebuilder {
  const { service, topics, ask, consumerGroups, leases, clock, log } = options;

  const rebuild = async ({ topic, isState, rebuild: rebuildOwn }: RebuiltTopic, sinceMs?: number): Promise<number> => {
    // First, so that a crash before the replay leaves the mark and all of it is done again.
    await rebuildOwn?.();
    // What is told again stands behind everything that is removed until the replay.
    if (isState) await ask(topic, sinceMs);
    const generation = await consumerGroups.replay(service, topic);
    // Once more: what was removed during the first is behind the new position and no longer marked.
    await rebuildOwn?.();
    return generation;
  };

  const heal = async (rebuilt: RebuiltTopic, { lostSinceMs = 0 }: ConsumerGroupState): Promise<void> => {
    const { topic } = rebuilt;
    const since = new Date(lostSinceMs).toISOString();
    if (!rebuilt.isState && rebuilt.rebuild === undefined) {
      await consumerGroups.settle(service, topic);
      log.error("events are lost for good: nobody can tell them again, and the consumer goes on", { topic, since });
      return;
    }
    const generation = await rebuild(rebuilt, lostSinceMs);
    log.warn("rebuilt a consumer that had missed events", { topic, since, generation });
  };

  const look = async (): Promise<void> => {
    const states = await consumerGroups.states(service);
    for (const rebuilt of topics) {
      const state = states.find(({ topic, lost }) => topic === rebuilt.topic && lost);
      if (state === undefined) continue;
      await heal(rebuilt, state).catch((error: unknown) =>
        log.warn("a consumer that missed events could not be rebuilt yet", { topic: rebuilt.topic, err: error }),
      );
    }
  };
  const holder = leases.leaseholder(`${service}:rebuild`, async (_, signal) => {
    while (!signal.aborted) {
      await look().catch((error: unknown) => log.warn("the consumers' state could not be looked at", { err: error }));
      await clock.sleep(lookEveryMs, signal).catch(() => undefined); // Ends the loop.
    }
  });
  return { ...holder, rebuild };
}
