import { retryInTurn } from "../turn.ts";
import type { BrokerParts } from "./broker-parts.ts";
import type { RawEntry } from "./entries.ts";
import { keys, partitionLease } from "./keys.ts";
import { changeInTurn, openParkedEvents, type ParkedEvents, type PartitionInHand } from "./parked-events.ts";
import { commitScript, positionScript, readScript } from "./scripts.ts";
import type { StreamId } from "./stream-id.ts";

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
export interface GroupPartition extends ParkedEvents {
  /** Inbox generation of the consumer group. */
  readonly generation: number;
  /** Behind the last event that is done with. */
  position(): Place;
  /** Moves the position on. `isLost`: it passes events that were removed unseen, and the group is marked. */
  moveTo(place: Place, how?: { readonly isLost: boolean }): Promise<void>;
  /** What follows the position, together with how many events have been removed from the partition until then. */
  read(): Promise<{ readonly removed: number; readonly entries: readonly RawEntry[] }>;
}

/** Opens what is kept for a consumer group about a partition of a topic; a new one stands before the oldest event. */
export async function openGroupPartition(inHand: PartitionInHand, parts: BrokerParts): Promise<GroupPartition> {
  const { service, topic, partition, held } = inHand;
  const { client, open } = parts;
  const leaseKey = keys.lease(partitionLease(service, topic, partition));
  const groupKey = keys.group(service, topic);
  const ask = <T>(work: () => Promise<T>): Promise<T> => retryInTurn(work, held, parts);

  await ask(() => open(topic));
  const [generation, startId, startOrdinal] = await ask(() =>
    positionScript.run(client, [groupKey, keys.groups(service)], [partition, topic, keys.topic(topic)]),
  );
  let position: Place = { id: startId.toString(), ordinal: startOrdinal };
  const parkedEvents = await openParkedEvents(inHand, generation, parts);

  return {
    ...parkedEvents,
    generation,
    position: () => position,
    moveTo: async ({ id, ordinal }, { isLost } = { isLost: false }) => {
      if (ordinal === position.ordinal) return;
      const [storedMs = "0"] = position.id.split("-"); // Of the last event that was handled.
      const args = [held.number, partition, generation, id, ordinal, isLost ? storedMs : ""];
      await changeInTurn(() => commitScript.run(client, [leaseKey, groupKey], args), held, parts);
      position = { id, ordinal };
    },
    read: async () => {
      const [removed, entries] = await ask(() =>
        readScript.run(client, [], [keys.stream(topic, partition), keys.topic(topic), partition, position.id, readMax]),
      );
      return { removed, entries };
    },
  };
}
