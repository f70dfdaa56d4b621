import { type EventBus, FencedError } from "../event-bus.ts";
import type { EventRecord, Fence } from "../../service/event-record.ts";
import type { BusParts } from "./bus-parts.ts";
import { recordValues } from "./entries.ts";
import { keys, partitionOf } from "./keys.ts";
import { fencedReply, publishScript } from "./scripts.ts";

/** Records and bytes that one script call stores. */
const recordsMax = 512;
const bytesMax = 4 << 20;

/**
 * Creates `publish`. A call with at most 512 records and 4 MiB is one step, stored as a whole or not at all; a larger one is several.
 * Calls under way at the same time have no order between them. Throws for a topic that is not in `topics`.
 */
export function createPublisher(
  topics: ReadonlyMap<string, unknown>,
  { client, open, partitions, meters }: Pick<BusParts, "client" | "open" | "partitions" | "meters">,
): EventBus["publish"] {
  return async (records, fence) => {
    if (records.length === 0) return;
    for (const { topic } of records) {
      if (!topics.has(topic)) throw new Error(`topic ${topic} is not among those of this bus`);
    }
    await open();
    for (const chunk of chunksOf(records)) {
      const { keyList, args } = publishArguments(chunk, fence, partitions.length);
      if ((await publishScript.run(client, keyList, args)) === fencedReply) {
        throw new FencedError(`lease ${fence?.lease} has a later holder`);
      }
      meters.batches.add(1);
      meters.published.add(chunk.length);
    }
  };
}

/** Runs of records that one script call stores, in order. */
function* chunksOf(records: readonly EventRecord[]): Generator<readonly EventRecord[]> {
  let chunk: EventRecord[] = [];
  let bytes = 0;
  for (const record of records) {
    if (chunk.length === recordsMax || (chunk.length > 0 && bytes + record.data.length > bytesMax)) {
      yield chunk;
      [chunk, bytes] = [[], 0];
    }
    chunk.push(record);
    bytes += record.data.length;
  }
  yield chunk;
}

function publishArguments(records: readonly EventRecord[], fence: Fence | undefined, partitions: number) {
  const byStream = new Map<string, { topic: string; partition: number; values: (string | number | Uint8Array)[][] }>();
  for (const record of records) {
    const partition = partitionOf(record.subject, partitions);
    const stream = keys.stream(record.topic, partition);
    const part = byStream.get(stream);
    if (part === undefined) byStream.set(stream, { topic: record.topic, partition, values: [recordValues(record)] });
    else part.values.push(recordValues(record));
  }
  const keyList = [fence === undefined ? keys.meta : keys.lease(fence.lease)];
  const args: (string | number | Uint8Array)[] = [fence?.number ?? ""];
  for (const [stream, { topic, partition, values }] of byStream) {
    keyList.push(keys.topic(topic), stream);
    args.push(partition, values.length);
    for (const value of values) args.push(...value);
  }
  return { keyList, args };
}
