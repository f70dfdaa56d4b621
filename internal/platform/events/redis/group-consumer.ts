import type { Candidacy, HeldLease } from "../../lease/redis/candidacy.ts";
import type { Consumer, Subscription } from "../broker.ts";
import { TurnOverError } from "../turn.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { placeEntries } from "./entries.ts";
import { createGroupHandling, togetherMax } from "./group-handling.ts";
import { type GroupPartition, openGroupPartition } from "./group-partition.ts";
import { keys, partitionLease } from "./keys.ts";
import { streamIdBefore } from "./stream-id.ts";
import { createStreamReader, type StreamReader } from "./stream-reader.ts";

/**
 * A consumer group: of each partition one reader over all processes, by lease. Its position moves behind what was handled, and only
 * in the term of that lease, so after a crash some events come again and none is left out. A holder that was paused repeats at most what it had read;
 * within a key it is behind or level with its successor at every moment, so first occurrences stay in order.
 */
export function createGroupConsumer(subscription: Subscription, parts: BrokerParts): Consumer {
  const { service, topic } = subscription;
  const { keeper, partitions } = parts;
  const log = parts.log.child({ service, topic });
  const reader = createStreamReader({
    ...parts,
    connection: parts.openReader(`${service} ${topic}`),
    topic,
    group: keys.group(service, topic),
    gatherMs: gatherMsOf(subscription),
    log,
  });

  /** Work under a lease that ends with it is no failure. */
  const consumeInTurn = async (partition: number, held: HeldLease): Promise<void> => {
    try {
      await consume({ subscription, partition, held, reader }, { ...parts, log });
    } catch (error) {
      if (!(error instanceof TurnOverError) && !held.signal.aborted) throw error;
    }
  };

  let candidacy: Candidacy | undefined;
  const taking = Promise.withResolvers<void>();
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await candidacy?.stop();
    await reader.stop();
    taking.resolve();
  };
  return {
    name: `consumer of ${topic} for ${service}`,
    caughtUp: taking.promise,
    start: () => {
      if (stopped !== undefined) return Promise.resolve();
      candidacy = keeper.seek({
        leaseKeys: partitions.map((partition) => keys.lease(partitionLease(service, topic, partition))),
        sharersKey: keys.members(service, topic),
        work: consumeInTurn,
      });
      void candidacy.asked.then(taking.resolve);
      return Promise.resolve();
    },
    stop: () => (stopped ??= stop()),
  };
}

/** How long events are gathered, in milliseconds; 0 for a subscriber that handles them one by one. */
function gatherMsOf(subscription: Subscription): number {
  return subscription.handleTogether === undefined ? 0 : (subscription.gatherMs ?? 0);
}

interface PartitionTurn {
  readonly subscription: Subscription;
  readonly partition: number;
  /** The lease of the partition, in hand. */
  readonly held: HeldLease;
  readonly reader: StreamReader;
}

/** Consumes a partition while its lease is held, or until a replay moves the group. */
async function consume({ subscription, partition, held, reader }: PartitionTurn, parts: BrokerParts): Promise<void> {
  const { service, topic } = subscription;
  const { clock, random } = parts;
  const gatherMs = gatherMsOf(subscription);
  const own = await openGroupPartition({ service, topic, partition, held }, parts);
  const handling = createGroupHandling({ subscription, own, held }, parts);
  const cursor = reader.open(partition, own.position().id);
  try {
    for (let redrives = ""; held.isValid();) {
      const chunk = await cursor.take(held.signal);
      if (chunk.generation !== own.generation) return; // A replay moved the group: begin again from where it stands now.
      if (chunk.redrives !== redrives) {
        await own.redrive(handling.tryOne);
        ({ redrives } = chunk);
      }
      if (chunk.removed <= own.position().ordinal) {
        await handling.handle(placeEntries(topic, chunk.entries, own.position().ordinal + 1));
        if (gatherMs > 0 && chunk.entries.length < togetherMax) {
          // Less up to a half by chance: partitions that came together would hold up everything else together.
          await clock.sleep(gatherMs * (0.5 + random.fraction() / 2), held.signal);
        }
        continue;
      }
      const entries = await passRemoved({ service, topic, partition }, own, parts);
      await handling.handle(placeEntries(topic, entries, own.position().ordinal + 1));
      cursor.seek(own.position().id);
    }
  } finally {
    cursor.close();
  }
}

/**
 * Moves the position behind events that were removed unseen, which marks the group as lost, and returns what follows. They may also
 * have been removed after the last chunk was read, and then were not missed: a read in one step tells.
 */
async function passRemoved(
  { service, topic, partition }: { readonly service: string; readonly topic: string; readonly partition: number },
  own: GroupPartition,
  { meters, log }: Pick<BrokerParts, "meters" | "log">,
) {
  const { removed, entries } = await own.read();
  const missed = removed - own.position().ordinal;
  if (missed > 0) {
    meters.lost.add(missed, { service, topic });
    log.error("events were removed before they were handled: the consumer must be rebuilt", { partition, missed });
    const [oldest] = entries;
    const id = oldest === undefined ? own.position().id : streamIdBefore(oldest[0].toString());
    await own.moveTo({ id, ordinal: removed }, { isLost: true });
  }
  return entries;
}
