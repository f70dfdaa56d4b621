import type { Component } from "../../lifecycle/component.ts";
import { createLoop } from "../../lifecycle/loop.ts";
import { MuinError } from "../../errors/muin-error.ts";
import type { ConsumerState, EventBus } from "../event-bus.ts";
import type { BusParts } from "./bus-parts.ts";
import { keys } from "./keys.ts";
import { replayScript } from "./scripts.ts";

const sampleEveryMs = 5000;

/** A service's subscription to a topic, over all instances. */
export interface Group {
  readonly service: string;
  readonly topic: string;
}

/** The groups of a bus, seen from outside. */
export interface Groups {
  /** Every group that ever consumed, by service and topic. */
  list(): Promise<readonly Group[]>;
  /** As `consumerStates` of `EventBus`. */
  readonly states: EventBus["consumerStates"];
  /** As in `EventBus`. */
  readonly replay: EventBus["replay"];
  /** Keeps the metrics of the given groups, which may grow, while it runs. */
  sampler(groups: Iterable<Group>): Component;
}

/** Creates the view of a bus' groups. */
export function createGroups({ client, open, partitions, clock, meters }: BusParts): Groups {
  const stateOf = async ({ service, topic }: Group): Promise<ConsumerState> => {
    const [position, counts, ...parked] = await Promise.all([
      client.hgetall(keys.group(service, topic)),
      client.hgetall(keys.topic(topic)),
      ...partitions.map((partition) => client.xlen(keys.parked(service, topic, partition))),
    ]);
    let lag = 0;
    for (const partition of partitions) {
      const added = Number(counts[`a${partition}`] ?? 0);
      lag += Math.max(0, added - Number(position[`o${partition}`] ?? counts[`r${partition}`] ?? 0));
    }
    return {
      service,
      topic,
      lag,
      deadLetters: parked.reduce((sum, count) => sum + count, 0),
      lost: partitions.some((partition) => position[`l${partition}`] !== undefined),
    };
  };

  const list = async (): Promise<readonly Group[]> => {
    await open();
    return (await client.smembers(keys.groups)).toSorted().map((name) => {
      const [service = "", topic = ""] = name.split(" ");
      return { service, topic };
    });
  };

  return {
    list,
    states: async () => Promise.all((await list()).map(stateOf)),
    replay: async (service, topic) => {
      await open();
      const perPartition = partitions.flatMap((partition) => [
        keys.parked(service, topic, partition),
        keys.parkedKeys(service, topic, partition),
        keys.redriven(service, topic, partition),
      ]);
      const keyList = [keys.group(service, topic), keys.topic(topic), ...perPartition];
      const generation = await replayScript.run(client, keyList, []);
      if (generation > 0) return generation;
      throw new MuinError({
        code: "not_found",
        reason: "CONSUMER_NOT_FOUND",
        message: `service ${service} never consumed topic ${topic}`,
      });
    },
    sampler: (groups) =>
      createLoop({
        name: "consumer sampler",
        clock,
        everyMs: sampleEveryMs,
        work: async () => {
          for (const group of groups) {
            const { lag, deadLetters, lost } = await stateOf(group);
            const { service, topic } = group;
            meters.lag.set(lag, { service, topic });
            meters.deadLetters.set(deadLetters, { service, topic });
            meters.isLost.set(lost ? 1 : 0, { service, topic });
          }
        },
        onFailure: () => undefined, // The store is away; its probe says so.
      }),
  };
}
