import type { Component } from "../../lifecycle/component.ts";
import { createLoop } from "../../lifecycle/loop.ts";
import type { ConsumerGroups, ConsumerGroupState } from "../consumer-groups.ts";
import { eventErrors } from "../errors.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { isKeySpoilt } from "./key-errors.ts";
import { keys } from "./keys.ts";
import { replayScript, settleScript } from "./scripts.ts";

/** Metrics of consumer groups are measured so often. */
const sampleEveryMs = 5000;

/** Names a consumer group: a service's subscription to a topic, over all instances. */
export interface ConsumerGroup {
  readonly service: string;
  readonly topic: string;
}

/** The consumer groups of the broker: what all may know, and what its other parts need. */
export interface RedisConsumerGroups extends ConsumerGroups {
  /** Every consumer group that ever consumed, of one service or of all that the broker looks after, by service and topic. */
  list(service?: string): Promise<readonly ConsumerGroup[]>;
  /** Keeps the metrics of the given consumer groups, which may grow, while it runs. */
  sampler(groups: Iterable<ConsumerGroup>): Component;
}

/** Creates the view of a broker's consumer groups, of the given services, which may grow. */
export function createConsumerGroups(services: ReadonlySet<string>, parts: BrokerParts): RedisConsumerGroups {
  const { client, open, partitions, clock, meters, spoilt } = parts;
  const finder = {};
  /** `undefined` for one whose keys, or those of its topic, are spoilt: that stands in the list of these, and others go on. */
  const stateOf = async (group: ConsumerGroup): Promise<ConsumerGroupState | undefined> => {
    const note = (isSpoilt: boolean): void =>
      spoilt.set(finder, group.topic, `the consumer group of ${group.service} on ${group.topic}`, isSpoilt);
    try {
      const state = await readState(group, parts);
      note(false);
      return state;
    } catch (error) {
      if (!isKeySpoilt(error)) throw error;
      note(true);
      return undefined;
    }
  };

  const listOf = async (service: string): Promise<readonly ConsumerGroup[]> =>
    (await client.smembers(keys.groups(service))).toSorted().map((topic) => ({ service, topic }));
  const list = async (service?: string): Promise<readonly ConsumerGroup[]> =>
    (await Promise.all((service === undefined ? [...services].toSorted() : [service]).map(listOf))).flat();

  return {
    list,
    states: async (service) =>
      (await Promise.all((await list(service)).map(stateOf))).filter((state) => state !== undefined),
    replay: async (service, topic) => {
      await open(topic);
      const perPartition = partitions.flatMap((partition) => [
        keys.parked(service, topic, partition),
        keys.parkedKeys(service, topic, partition),
        keys.redriven(service, topic, partition),
      ]);
      const keyList = [keys.group(service, topic), ...perPartition];
      const generation = await replayScript.run(client, keyList, [keys.topic(topic)]);
      if (generation > 0) return generation;
      throw eventErrors.consumerNotFound({ service, topic });
    },
    settle: async (service, topic) => {
      await open(topic);
      await settleScript.run(client, [keys.group(service, topic)], partitions);
    },
    sampler: (groups) =>
      createLoop({
        name: "consumer sampler",
        clock,
        everyMs: sampleEveryMs,
        work: async () => {
          for (const group of groups) {
            const state = await stateOf(group);
            if (state === undefined) continue;
            const { service, topic, lag, deadLetters, lost, lostSinceMs = 0 } = state;
            meters.lag.set(lag, { service, topic });
            meters.deadLetters.set(deadLetters, { service, topic });
            meters.isLost.set(lost ? 1 : 0, { service, topic });
            meters.lostSince.set(lostSinceMs / 1000, { service, topic });
          }
        },
        onFailure: () => undefined, // The store is away; its probe says so.
      }),
  };
}

async function readState(
  { service, topic }: ConsumerGroup,
  { client, partitions }: Pick<BrokerParts, "client" | "partitions">,
): Promise<ConsumerGroupState> {
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
    ...lossOf(position, partitions),
  };
}

/** What a group's hash says of its loss. */
function lossOf(group: Readonly<Record<string, string>>, partitions: readonly number[]) {
  const marks = partitions.map((partition) => group[`l${partition}`]).filter((mark) => mark !== undefined);
  const since = marks.length > 0 ? Math.min(...marks.map(Number)) : group["since"];
  return { lost: marks.length > 0, ...(since === undefined ? {} : { lostSinceMs: Number(since) }) };
}
