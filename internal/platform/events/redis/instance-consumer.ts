import type { Consumer, Subscription } from "../broker.ts";
import { handleEvent } from "../handle-event.ts";
import { handleInOrder } from "../handle-in-order.ts";
import { retryInTurn, type Turn, turnBackoff, TurnOverError } from "../turn.ts";
import { retry } from "../../lifecycle/retry.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { placeEntries, type PlacedEvent } from "./entries.ts";
import { keys } from "./keys.ts";
import { readScript, startScript } from "./scripts.ts";
import { compareStreamIds, type StreamId, streamIdBefore } from "./stream-id.ts";
import { createStreamReader, type StreamReader } from "./stream-reader.ts";

/** Entries that are read at once after a removal. */
const readMax = 256;

/**
 * Each instance reads every partition, from a point in time on, and keeps its position in memory. An event whose handler keeps
 * failing is logged and left out.
 */
export function createInstanceConsumer(subscription: Subscription, parts: BrokerParts): Consumer {
  const { service, topic, backMs } = subscription;
  const { client, open, partitions } = parts;
  const log = parts.log.child({ service, topic });
  const types = new Set(subscription.types);
  const stopping = new AbortController();
  const { signal } = stopping;
  const turn: Turn = { signal, isValid: () => !signal.aborted };
  const connection = parts.openReader(`${service} ${topic}`);
  const reader = createStreamReader({ ...parts, connection, topic, group: undefined, log });
  const caughtUp = Promise.withResolvers<void>();

  const follow = createFollowing(subscription, { reader, turn, types }, { ...parts, log });

  const run = async (): Promise<void> => {
    const args = partitions.flatMap((partition) => [partition, keys.stream(topic, partition)]);
    await retryInTurn(() => open(topic), turn, parts);
    const [nowMs, ...starts] = await retryInTurn(
      () => startScript.run(client, [], [keys.topic(topic), ...args]),
      turn,
      parts,
    );
    const startId = `${Math.max(0, nowMs - backMs)}-0`;
    const behind = new Set(partitions);
    const reach = (partition: number): void => {
      behind.delete(partition);
      if (behind.size === 0) caughtUp.resolve();
    };
    await Promise.all(
      partitions.map((partition) => {
        const [newest, added, removed] = starts[partition] ?? [Buffer.from("0-0"), 0, 0];
        const stored = { target: newest.toString(), added, removed };
        const begin = beginOf(subscription.places?.placeOf(partition), stored, startId);
        if (compareStreamIds(stored.target, begin.id) <= 0) reach(partition);
        return follow(partition, begin, (id) => {
          if (compareStreamIds(id, stored.target) >= 0) reach(partition);
        });
      }),
    );
  };

  let running: Promise<void> = Promise.resolve();
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping.abort(new TurnOverError());
    await reader.stop();
    await running;
    caughtUp.resolve();
  };
  return {
    name: `consumer of ${topic} in each instance of ${service}`,
    caughtUp: caughtUp.promise,
    start: () => {
      running = run().catch((error: unknown) => {
        if (!signal.aborted) log.error("the consumer ended", { err: error });
      });
      return Promise.resolve();
    },
    stop: () => (stopped ??= stop()),
  };
}

/** Handles what comes of a partition, until the turn is over. */
function createFollowing(
  subscription: Subscription,
  { reader, turn, types }: { readonly reader: StreamReader; readonly turn: Turn; readonly types: ReadonlySet<string> },
  parts: BrokerParts,
) {
  const { service, topic } = subscription;
  const { client, clock, log } = parts;
  const { signal } = turn;
  const handleAll = (events: readonly PlacedEvent[]): Promise<void> =>
    handleInOrder(events, {
      isWanted: ({ record }) => types.has(record.type),
      handle: async ({ record }) => {
        const failure = await handleEvent(subscription, record, { generation: 0, turn }, parts);
        if (failure === undefined) return;
        log.error("an event was skipped: its handler failed", { event: record.id, reason: failure.reason });
      },
      progress: () => Promise.resolve(),
      clock,
    });

  /** `told` hears up to where it came, piece by piece. */
  const follow = async (partition: number, begin: Begin, told: (id: string) => void): Promise<void> => {
    const cursor = reader.open(partition, begin.id);
    const place = createPlace(begin);
    const keep = (): void => {
      const kept = place.kept();
      if (kept !== undefined) subscription.places?.moved(partition, kept);
    };
    if (begin.missed > 0) await dropAll(partition, begin.missed);
    keep();
    for (;;) {
      let { entries, removed } = await cursor.take(signal);
      if (place.mayHaveMissed(removed)) {
        // They may also have been removed after the chunk was read, and then were not missed: a read in one step tells.
        const keyList = [keys.stream(topic, partition), keys.topic(topic)];
        [removed, entries] = await retryInTurn(
          () => readScript.run(client, [], [...keyList, partition, place.id(), readMax]),
          turn,
          parts,
        );
        const missed = place.pass(removed);
        if (missed > 0) await dropAll(partition, missed);
        cursor.seek(entries.at(-1)?.[0].toString() ?? place.id());
      }
      const events = placeEntries(topic, entries, 1);
      await handleAll(events);
      place.move(events.map(({ id }) => id));
      keep();
      const last = events.at(-1);
      if (last !== undefined) told(last.id);
    }
  };

  /** Has the subscriber drop what it made of events, since some were removed unseen. */
  const dropAll = async (partition: number, missed: number): Promise<void> => {
    parts.meters.lost.add(missed, { service, topic });
    log.warn("events were removed before this instance had handled them: it drops what it made of earlier ones", {
      partition,
    });
    await retry(async () => subscription.onTrimmed?.(), {
      clock,
      random: parts.random,
      ...turnBackoff,
      isRetryable: () => true,
      onPause: (error) => log.warn("what was made of earlier events could not be dropped yet", { err: error }),
      signal,
    });
  };
  return follow;
}

/** What a partition held when an instance began: the newest entry, and how many were ever added until then and removed. */
interface Stored {
  readonly target: StreamId;
  readonly added: number;
  readonly removed: number;
}

/** Where an instance begins in a partition, and what is known of it. */
interface Begin extends Stored {
  /** It reads what follows this id. */
  readonly id: StreamId;
  /** Behind so many entries ever added, where that is known. */
  readonly ordinal: number | undefined;
  /** How many entries behind the place that was kept may have been removed unseen. */
  readonly missed: number;
}

/** Begins at a kept place, unless it lies before `startId`, from where on the partition is read otherwise. */
function beginOf(kept: string | undefined, stored: Stored, startId: StreamId): Begin {
  const { target, added, removed } = stored;
  // Nothing stored now is younger than the start: begin right behind it, also when the server's clock stepped back.
  const isOlder = compareStreamIds(target, startId) < 0;
  const fresh = { ...stored, id: isOlder ? target : streamIdBefore(startId), ordinal: isOlder ? added : undefined };
  const [, id = "", count = ""] = /^(\d{1,16}-\d{1,16}) (\d{1,16})$/.exec(kept ?? "") ?? [];
  if (id === "" || compareStreamIds(id, startId) < 0) return { ...fresh, missed: 0 };
  const ordinal = Number(count);
  // Entries that were added later have higher ids, unless the store is another, or was restored.
  const isAnother = ordinal > added || (added > removed && compareStreamIds(id, target) > 0);
  if (isAnother || removed > ordinal) return { ...fresh, missed: Math.max(1, removed - ordinal) };
  return { ...stored, id, ordinal, missed: 0 };
}

/**
 * How far an instance came in a partition: behind so many event records ever added, once it has passed the one that was the newest when it
 * began; before that any removal may have been of what it had not handled.
 */
function createPlace(begin: Begin) {
  let { id, removed: known, ordinal } = begin;
  return {
    id: () => id,
    /** As `beginOf` takes it; `undefined` while it is not known behind how many it is. */
    kept: (): string | undefined => (ordinal === undefined ? undefined : `${id} ${ordinal}`),
    mayHaveMissed: (removed: number): boolean => removed > (ordinal ?? known),
    /** Passes what was removed until now; returns how many of them it may have missed. */
    pass: (removed: number): number => {
      const missed = removed - (ordinal ?? known);
      if (missed <= 0) return 0;
      if (ordinal !== undefined) ordinal = removed;
      known = removed;
      return missed;
    },
    /** Moves behind entries that were handled, by their ids. */
    move: (ids: readonly StreamId[]): void => {
      id = ids.at(-1) ?? id;
      if (ordinal !== undefined) ordinal += ids.length;
      else if (compareStreamIds(id, begin.target) >= 0) {
        ordinal = begin.added + ids.filter((one) => compareStreamIds(one, begin.target) > 0).length;
      }
    },
  };
}
