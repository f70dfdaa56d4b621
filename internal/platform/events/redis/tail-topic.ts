import type { Broker } from "../broker.ts";
import type { EventRecord } from "../../service/event-record.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { fieldsOf, toRecord } from "./entries.ts";
import { keys } from "./keys.ts";
import { newestScript } from "./scripts.ts";
import { createStreamReader } from "./stream-reader.ts";

/** Event records that a tail reads ahead of its caller. */
const aheadRecordsMax = 1024;

/** `tail` of `Broker`: reads all partitions side by side into one queue. */
export async function* tailTopic(
  topic: string,
  { fromStart, signal }: Parameters<Broker["tail"]>[1],
  { client, open, openReader, partitions, ...parts }: BrokerParts,
): AsyncGenerator<EventRecord> {
  await open(topic);
  const streams = partitions.map((partition) => keys.stream(topic, partition));
  const [, ...newest] = await newestScript.run(client, [], streams);
  const reader = createStreamReader({ ...parts, connection: openReader("tail"), topic, group: undefined });
  const ended = new AbortController();
  const stop = AbortSignal.any([signal, ended.signal]);
  const queue: EventRecord[] = [];
  let arrived = Promise.withResolvers<void>();
  let taken = Promise.withResolvers<void>();
  const read = async (partition: number): Promise<void> => {
    const cursor = reader.open(partition, fromStart ? "0-0" : (newest[partition]?.toString() ?? "0-0"));
    while (!stop.aborted) {
      const { entries } = await cursor.take(stop);
      for (const entry of entries) queue.push(toRecord(topic, fieldsOf(entry)));
      arrived.resolve();
      while (queue.length >= aheadRecordsMax && !stop.aborted) await taken.promise;
    }
  };
  stop.addEventListener(
    "abort",
    () => {
      arrived.resolve();
      taken.resolve();
    },
    { once: true },
  );
  const reading = Promise.allSettled(partitions.map(read)); // A take ends by the abort, and only by it.
  try {
    while (!stop.aborted) {
      arrived = Promise.withResolvers();
      if (queue.length === 0) await arrived.promise;
      yield* queue.splice(0);
      const { resolve } = taken;
      taken = Promise.withResolvers();
      resolve();
    }
  } finally {
    ended.abort();
    taken.resolve();
    await reader.stop();
    await reading;
  }
}
