import type { EventRecord } from "../../service/event-record.ts";
import type { Failure } from "../handle-event.ts";
import { retryInTurn, TurnOverError } from "../turn.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { fieldsOf, type PlacedEvent, type RawEntry, recordValues, toRecord } from "./entries.ts";
import { keys, partitionLease } from "./keys.ts";
import type { HeldLease } from "../../lease/redis/candidacy.ts";
import {
  commitScript,
  fencedReply,
  fullReply,
  movedReply,
  parkScript,
  positionScript,
  readScript,
  redrivenScript,
} from "./scripts.ts";
import type { StreamId } from "./stream-id.ts";

/** A consumer without room for another dead letter looks so often whether there is some again. */
const fullPauseMs = 500;
const parkedPage = 100;
/** The server's reason for a dead letter is cut to this. */
const reasonCharsMax = 1000;
/** Entries that `read` takes. */
const readMax = 256;

/** A place between events of a partition: behind the entry of that id, and behind so many events ever stored. */
export interface Place {
  readonly id: StreamId;
  readonly ordinal: number;
}

/**
 * What the store keeps for a consumer group about one partition: its position and its dead letters. Only the holder of the partition's lease
 * may change it, and only in the generation in which it was opened: the store checks both with each change. Every method waits for
 * a store that is away, and rejects with `TurnOverError` once another holder or a replay has begun.
 */
export interface GroupPartition {
  /** Inbox generation of the consumer group. */
  readonly generation: number;
  /** Behind the last event that is done with. */
  position(): Place;
  /** Moves the position on. `isLost`: it passes events that were removed unseen, and the group is marked. */
  moveTo(place: Place, how?: { readonly isLost: boolean }): Promise<void>;
  /** What follows the position, together with how many events have been removed from the partition until then. */
  read(): Promise<{ readonly removed: number; readonly entries: readonly RawEntry[] }>;
  /** True when dead letters of the subject are kept. */
  isWaiting(subject: string): boolean;
  /** True when dead letters of any subject are kept. */
  hasWaiting(): boolean;
  /** Keeps a dead letter. When there are too many it waits a while and ends the turn. */
  park(event: PlacedEvent, failure: Failure): Promise<void>;
  /**
   * Hands dead letters that were asked for to `handle`, in the order in which they were parked, and drops those that it handled. A
   * key of which one fails again waits for the next time.
   */
  redrive(handle: (record: EventRecord) => Promise<Failure | undefined>): Promise<void>;
}

/** Opens what is kept for a consumer group about a partition of a topic; a new one stands before the oldest event. */
export async function openGroupPartition(
  { service, topic, partition, held }: OpenGroupPartition,
  parts: BrokerParts,
): Promise<GroupPartition> {
  const { client, clock, open, meters, parkedMax } = parts;
  const labels = { service, topic };
  const log = parts.log.child(labels);
  const leaseKey = keys.lease(partitionLease(service, topic, partition));
  const groupKey = keys.group(service, topic);
  const parkedKey = keys.parked(service, topic, partition);
  const parkedKeysKey = keys.parkedKeys(service, topic, partition);
  const redrivenKey = keys.redriven(service, topic, partition);
  const ask = <T>(work: () => Promise<T>): Promise<T> => retryInTurn(work, held, parts);
  /** Changes something by a script that checks lease and generation. */
  const change = async (work: () => Promise<number>): Promise<number> => {
    const answer = await ask(work);
    if (answer === fencedReply || answer === movedReply) throw new TurnOverError();
    return answer;
  };

  await ask(open);
  const [generation, startId, startOrdinal] = await ask(() =>
    positionScript.run(client, [groupKey, keys.topic(topic), keys.groups], [partition, `${service} ${topic}`]),
  );
  let position: Place = { id: startId.toString(), ordinal: startOrdinal };
  /** Dead letters per subject: only this process adds and removes while it holds the lease. */
  const waiting = new Map<string, number>();
  for (const [field, count] of Object.entries(await ask(() => client.hgetall(parkedKeysKey)))) {
    if (field.startsWith("c")) waiting.set(field.slice(1), Number(count));
  }

  /** Drops a dead letter that was handled, or notes why it failed again. */
  const endRedrive = async (entryId: StreamId, subject: string, failure: Failure | undefined): Promise<void> => {
    const args = [held.number, generation, entryId, subject, failure === undefined ? "" : JSON.stringify(failure)];
    const left = await change(() =>
      redrivenScript.run(client, [leaseKey, groupKey, parkedKey, parkedKeysKey, redrivenKey], args),
    );
    if (left > 0) waiting.set(subject, left);
    else waiting.delete(subject);
  };

  return {
    generation,
    position: () => position,
    moveTo: async ({ id, ordinal }, { isLost } = { isLost: false }) => {
      if (ordinal === position.ordinal) return;
      const args = [held.number, partition, generation, id, ordinal, isLost ? 1 : 0];
      await change(() => commitScript.run(client, [leaseKey, groupKey], args));
      position = { id, ordinal };
    },
    read: async () => {
      const [removed, entries] = await ask(() =>
        readScript.run(client, [keys.stream(topic, partition), keys.topic(topic)], [partition, position.id, readMax]),
      );
      return { removed, entries };
    },
    isWaiting: (subject) => waiting.has(subject),
    hasWaiting: () => waiting.size > 0,
    park: async ({ ordinal, record }, { reason, attempts }) => {
      const { subject } = record;
      const args = [held.number, generation, parkedMax, ordinal, subject, reason.slice(0, reasonCharsMax), attempts];
      const answer = await change(() =>
        parkScript.run(client, [leaseKey, groupKey, parkedKey, parkedKeysKey], [...args, ...recordValues(record)]),
      );
      if (answer === fullReply) {
        log.error("the store of dead letters is full: the consumer waits for a redrive", { partition });
        await clock.sleep(fullPauseMs, held.signal);
        throw new TurnOverError(); // The next turn begins where the position stands, and with what is to be redriven.
      }
      waiting.set(subject, (waiting.get(subject) ?? 0) + 1);
      meters.parked.add(1, labels);
    },
    redrive: async (handle) => {
      const subjects = new Set(await ask(() => client.smembers(redrivenKey)));
      for (let from = "-"; subjects.size > 0;) {
        const after = from;
        const page = await ask(() => client.xrangeBuffer(parkedKey, after, "+", "COUNT", parkedPage));
        for (const entry of page) {
          const entryId = entry[0].toString();
          from = `(${entryId}`;
          const record = toRecord(topic, fieldsOf(entry));
          if (!subjects.has(record.subject)) continue;
          const failure = await handle(record);
          if (failure !== undefined) subjects.delete(record.subject);
          await endRedrive(entryId, record.subject, failure);
        }
        if (page.length < parkedPage) break;
      }
    },
  };
}

interface OpenGroupPartition {
  readonly service: string;
  readonly topic: string;
  readonly partition: number;
  /** The lease of the partition, in hand. */
  readonly held: HeldLease;
}
