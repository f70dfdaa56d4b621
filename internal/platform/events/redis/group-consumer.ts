import type { Consumer, Subscription } from "../broker.ts";
import { handleEvent } from "../handle-event.ts";
import { handleInOrder } from "../handle-in-order.ts";
import { TurnOverError } from "../turn.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { type PlacedEvent, placeEntries } from "./entries.ts";
import { type GroupPartition, openGroupPartition } from "./group-partition.ts";
import { keys, partitionLease } from "./keys.ts";
import type { Candidacy, HeldLease } from "../../lease/redis/candidacy.ts";
import { streamIdBefore } from "./stream-id.ts";
import { createStreamReader } from "./stream-reader.ts";

/** Events that are handled together, where the subscriber can. */
const togetherMax = 256;

/**
 * A consumer group: of each partition one reader over all processes, by lease. Its position moves behind what was handled, and only
 * in the term of that lease, so after a crash some events come again and none is left out. A holder that was paused repeats at most what it had read;
 * within a key it is behind or level with its successor at every moment, so first occurrences stay in order.
 */
export function createGroupConsumer(subscription: Subscription, parts: BrokerParts): Consumer {
  const { service, topic } = subscription;
  const gatherMs = subscription.handleTogether === undefined ? 0 : (subscription.gatherMs ?? 0);
  const { keeper, partitions, clock, random, meters } = parts;
  const labels = { service, topic };
  const log = parts.log.child(labels);
  const types = new Set(subscription.types);
  const reader = createStreamReader({
    connection: parts.openReader(`${service} ${topic}`),
    topic,
    group: keys.group(service, topic),
    clock,
    log,
  });

  const consume = async (partition: number, held: HeldLease): Promise<void> => {
    const own = await openGroupPartition({ service, topic, partition, held }, parts);
    const cursor = reader.open(partition, own.position().id);
    try {
      for (let redrives = ""; held.isValid();) {
        const batch = await cursor.take(held.signal);
        if (batch.generation !== own.generation) return; // A replay moved the group: begin again from where it stands now.
        if (batch.redrives !== redrives) {
          await own.redrive((record) => tryHandle(own, held, record));
          ({ redrives } = batch);
        }
        if (batch.removed <= own.position().ordinal) {
          await handleEvents(own, held, placeEntries(topic, batch.entries, own.position().ordinal + 1));
          if (gatherMs > 0 && batch.entries.length < togetherMax) {
            // Less up to a half by chance: partitions that came together would hold up everything else together.
            await clock.sleep(gatherMs * (0.5 + random.fraction() / 2), held.signal);
          }
          continue;
        }
        // Removed since the last batch: before the entries were read (lost) or after (not). A read in one step tells.
        const { removed, entries } = await own.read();
        const missed = removed - own.position().ordinal;
        if (missed > 0) {
          meters.lost.add(missed, labels);
          log.error("events were removed before they were handled: the consumer must be rebuilt", {
            partition,
            missed,
          });
          const [oldest] = entries;
          const id = oldest === undefined ? own.position().id : streamIdBefore(oldest[0].toString());
          await own.moveTo({ id, ordinal: removed }, { isLost: true });
        }
        await handleEvents(own, held, placeEntries(topic, entries, own.position().ordinal + 1));
        cursor.seek(own.position().id);
      }
    } finally {
      cursor.close();
    }
  };

  const tryHandle = (own: GroupPartition, held: HeldLease, record: PlacedEvent["record"]) =>
    handleEvent(subscription, record, { generation: own.generation, turn: held }, { ...parts, log });

  /** Handles events that follow the position, and moves it behind them. */
  const handleEvents = async (own: GroupPartition, held: HeldLease, events: readonly PlacedEvent[]): Promise<void> => {
    await handleInOrder(await handleTogether(own, held, events), {
      isWanted: ({ record }) => types.has(record.type),
      handle: async (event) => {
        if (subscription.onFailure === "parkKey" && own.isWaiting(event.record.subject)) {
          await own.park(event, { reason: "waits behind an earlier event of its key", attempts: 0 });
          return;
        }
        const failure = await tryHandle(own, held, event.record);
        if (failure !== undefined) await own.park(event, failure);
      },
      progress: (last) => own.moveTo(last),
      clock,
    });
  };

  /** Handles together what can be; returns what is left, from the first that could not. */
  const handleTogether = async (
    own: GroupPartition,
    held: HeldLease,
    events: readonly PlacedEvent[],
  ): Promise<readonly PlacedEvent[]> => {
    // An event behind a parked one of its key must be parked too.
    if (subscription.handleTogether === undefined || own.hasWaiting()) return events;
    for (let from = 0; from < events.length; from += togetherMax) {
      if (!held.isValid()) throw new TurnOverError();
      const some = events.slice(from, from + togetherMax);
      const wanted = some.map(({ record }) => record).filter(({ type }) => types.has(type));
      try {
        if (wanted.length > 0) {
          const delivery = { generation: own.generation, attempt: 1, signal: held.signal };
          await subscription.handleTogether(wanted, delivery);
        }
      } catch (error) {
        if (held.signal.aborted) throw new TurnOverError();
        log.debug("events are handled one by one, since they could not be together", { err: error });
        return events.slice(from);
      }
      meters.handled.add(wanted.length, labels);
      const last = some.at(-1);
      if (last !== undefined) await own.moveTo(last);
    }
    return [];
  };

  /** Work under a lease that ends with it is no failure. */
  const consumeInTurn = async (partition: number, held: HeldLease): Promise<void> => {
    try {
      await consume(partition, held);
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
