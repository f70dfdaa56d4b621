import type { Fence } from "../../service/event-record.ts";
import type { Topic } from "../topics.ts";
import type { BusParts } from "./bus-parts.ts";
import { keys } from "./keys.ts";
import { trimScript } from "./scripts.ts";

const trimEveryMs = 2000;

/** Work under a lease: removes a topic's records that are too old, or beyond its bytes, until the signal. */
export function keepRetention(
  { name, retentionMs }: Topic,
  topicBytesMax: number,
  { client, partitions, clock }: Pick<BusParts, "client" | "partitions" | "clock">,
): (fence: Fence, signal: AbortSignal) => Promise<void> {
  const partitionBytesMax = Math.floor(topicBytesMax / partitions.length);
  const trim = async (partition: number): Promise<void> => {
    const keyList = [keys.stream(name, partition), keys.topic(name)];
    // A server that is away is trimmed when it is back.
    await trimScript.run(client, keyList, [partition, retentionMs, partitionBytesMax]).catch(() => undefined);
  };
  return async (_, signal) => {
    while (!signal.aborted) {
      await Promise.all(partitions.map(trim));
      await clock.sleep(trimEveryMs, signal).catch(() => undefined); // Ends the loop.
    }
  };
}
