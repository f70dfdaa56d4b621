import { FencedError, type Leases, type LeaseTerm } from "../../lease/leases.ts";
import { leaseKey } from "../../lease/redis/lease-key.ts";
import { EventRefusedError, type EventRecord } from "../../service/event-record.ts";
import { type Broker, eventBytesMax } from "../broker.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { recordValues } from "./entries.ts";
import { isKeyDenied, isKeySpoilt } from "./key-errors.ts";
import { keys, partitionOf } from "./keys.ts";
import { fencedReply, publishScript } from "./scripts.ts";

/** Event records and bytes that one script call stores. */
const recordsMax = 512;
const bytesMax = 4 << 20;

interface PublisherDeps extends Pick<BrokerParts, "client" | "open" | "partitions" | "meters"> {
  /** Topics by name; no others are accepted. */
  readonly topics: ReadonlyMap<string, unknown>;
  readonly leases: Pick<Leases, "verify">;
  /** Whether leases are kept beside the events. */
  readonly isWithLeases: boolean;
}

/**
 * Creates `publish`. A call with at most 512 event records and 4 MiB is one step, stored as a whole or not at all; a larger one is
 * several. Calls under way at the same time have no order between them. Refused for itself is an event record of a topic that is not in
 * `topics` or whose keys the server does not let this process write or cannot add to, and one with more than `eventBytesMax`.
 *
 * Where leases are kept beside the events, each step checks the lease term itself: nothing is stored in an old one. Elsewhere the
 * term is checked before each step, and a step that was under way when the term ended may still store its event records, once.
 */
export function createPublisher(deps: PublisherDeps): Broker["publish"] {
  const { client, open, partitions, meters, topics, leases, isWithLeases } = deps;
  return async (records, term) => {
    if (records.length === 0) return;
    for (const { topic, data } of records) {
      if (!topics.has(topic)) throw new EventRefusedError(`topic ${topic} is not among those of this broker`);
      if (data.byteLength > eventBytesMax) {
        throw new EventRefusedError(`the message has ${data.byteLength} bytes, more than ${eventBytesMax}`);
      }
    }
    for (const topic of new Set(records.map((record) => record.topic))) await open(topic).catch(refuse);
    for (const chunk of chunksOf(records)) {
      if (term !== undefined && !isWithLeases) await leases.verify(term);
      const { keyList, args } = publishArguments(chunk, isWithLeases ? term : undefined, partitions.length);
      const answer = await publishScript.run(client, keyList, args).catch(refuse);
      if (term !== undefined && answer === fencedReply) throw new FencedError(term);
      meters.batches.add(1);
      meters.published.add(chunk.length);
    }
  };
}

/** Throws for a failure what the events are refused with, where it is theirs. */
function refuse(error: unknown): never {
  if (isKeyDenied(error)) {
    throw new EventRefusedError("the event store lets nobody write it from here", { cause: error });
  }
  throw isKeySpoilt(error)
    ? new EventRefusedError("what the event store keeps of its topic is spoilt", { cause: error })
    : error;
}

/** Runs of event records that one script call stores, in order. */
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

/** Arguments of `publishScript`; with a term the script checks it. */
function publishArguments(records: readonly EventRecord[], term: LeaseTerm | undefined, partitions: number) {
  const byStream = new Map<string, { topic: string; partition: number; values: (string | number | Uint8Array)[][] }>();
  for (const record of records) {
    const partition = partitionOf(record.subject, partitions);
    const stream = keys.stream(record.topic, partition);
    const part = byStream.get(stream);
    if (part === undefined) byStream.set(stream, { topic: record.topic, partition, values: [recordValues(record)] });
    else part.values.push(recordValues(record));
  }
  const [first] = records;
  const unseen = keys.topic(first?.topic ?? ""); // A key that the caller may write.
  const keyList = [term === undefined ? unseen : leaseKey(term.lease)];
  const args: (string | number | Uint8Array)[] = [term?.number ?? ""];
  for (const [stream, { topic, partition, values }] of byStream) {
    keyList.push(keys.topic(topic), stream);
    args.push(partition, values.length);
    for (const value of values) args.push(...value);
  }
  return { keyList, args };
}
