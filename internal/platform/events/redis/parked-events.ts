import type { HeldLease } from "../../lease/redis/candidacy.ts";
import type { EventRecord } from "../../service/event-record.ts";
import type { Failure } from "../handle-event.ts";
import { retryInTurn, TurnOverError } from "../turn.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { fieldsOf, type PlacedEvent, recordValues, toRecord } from "./entries.ts";
import { keys, partitionLease } from "./keys.ts";
import { fencedReply, fullReply, movedReply, parkScript, redrivenScript } from "./scripts.ts";
import type { StreamId } from "./stream-id.ts";

/** A consumer without room for another dead letter looks so often whether there is some again, in milliseconds. */
const fullPauseMs = 500;
/** Dead letters that are read at once. */
const parkedPage = 100;
/** The server's reason for a dead letter is cut to this. */
const reasonCharsMax = 1000;

/** A partition of a consumer group in the hands of its reader. */
export interface PartitionInHand {
  readonly service: string;
  readonly topic: string;
  readonly partition: number;
  /** The lease of the partition, in hand. */
  readonly held: HeldLease;
}

/** The dead letters of a consumer group and partition, as the holder of its lease changes them. */
export interface ParkedEvents {
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

/** Changes something by a script that checks lease and generation: rejects with `TurnOverError` when either is another by now. */
export async function changeInTurn(work: () => Promise<number>, held: HeldLease, parts: BrokerParts): Promise<number> {
  const answer = await retryInTurn(work, held, parts);
  if (answer === fencedReply || answer === movedReply) throw new TurnOverError();
  return answer;
}

/** Opens the dead letters of a partition in a generation of its group. */
export async function openParkedEvents(
  { service, topic, partition, held }: PartitionInHand,
  generation: number,
  parts: BrokerParts,
): Promise<ParkedEvents> {
  const { client, clock, meters, parkedMax } = parts;
  const labels = { service, topic };
  const log = parts.log.child(labels);
  const leaseKey = keys.lease(partitionLease(service, topic, partition));
  const groupKey = keys.group(service, topic);
  const parkedKey = keys.parked(service, topic, partition);
  const parkedKeysKey = keys.parkedKeys(service, topic, partition);
  const redrivenKey = keys.redriven(service, topic, partition);
  const ask = <T>(work: () => Promise<T>): Promise<T> => retryInTurn(work, held, parts);
  /** Dead letters per subject: only this process adds and removes while it holds the lease. */
  const waiting = new Map<string, number>();
  for (const [field, count] of Object.entries(await ask(() => client.hgetall(parkedKeysKey)))) {
    if (field.startsWith("c")) waiting.set(field.slice(1), Number(count));
  }

  /** Drops a dead letter that was handled, or notes why it failed again. */
  const endRedrive = async (entryId: StreamId, subject: string, failure: Failure | undefined): Promise<void> => {
    const args = [held.number, generation, entryId, subject, failure === undefined ? "" : JSON.stringify(failure)];
    const left = await changeInTurn(
      () => redrivenScript.run(client, [leaseKey, groupKey, parkedKey, parkedKeysKey, redrivenKey], args),
      held,
      parts,
    );
    if (left > 0) waiting.set(subject, left);
    else waiting.delete(subject);
  };

  return {
    isWaiting: (subject) => waiting.has(subject),
    hasWaiting: () => waiting.size > 0,
    park: async ({ ordinal, record }, { reason, attempts }) => {
      const { subject } = record;
      const args = [held.number, generation, parkedMax, ordinal, subject, reason.slice(0, reasonCharsMax), attempts];
      const answer = await changeInTurn(
        () =>
          parkScript.run(client, [leaseKey, groupKey, parkedKey, parkedKeysKey], [...args, ...recordValues(record)]),
        held,
        parts,
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
