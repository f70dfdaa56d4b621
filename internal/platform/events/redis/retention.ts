import type { Component } from "../../lifecycle/component.ts";
import type { Candidacy } from "../../lease/redis/candidacy.ts";
import type { Topic } from "../topics.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { keys, retentionLease } from "./keys.ts";
import { trimScript } from "./scripts.ts";

/** Pause between two looks at a topic, in milliseconds. */
const trimEveryMs = 2000;

/** A component that removes a topic's event records that are too old, or beyond `topicBytesMax` bytes: in one process of all. */
export function createRetention(
  { name, retentionMs }: Topic,
  topicBytesMax: number,
  { client, keeper, open, partitions, clock }: BrokerParts,
): Component {
  const partitionBytesMax = Math.floor(topicBytesMax / partitions.length);
  const trim = async (partition: number): Promise<void> => {
    const keyList = [keys.stream(name, partition), keys.topic(name)];
    // A server that is away is trimmed when it is back.
    await trimScript.run(client, keyList, [partition, retentionMs, partitionBytesMax]).catch(() => undefined);
  };
  let candidacy: Candidacy | undefined;
  return {
    name: `retention of ${name}`,
    start: () => {
      candidacy = keeper.seek({
        leaseKeys: [keys.lease(retentionLease(name))],
        work: async (_, { signal }) => {
          await open(name);
          while (!signal.aborted) {
            await Promise.all(partitions.map(trim));
            await clock.sleep(trimEveryMs, signal).catch(() => undefined); // Ends the loop.
          }
        },
      });
      return Promise.resolve();
    },
    stop: () => candidacy?.stop() ?? Promise.resolve(),
  };
}
