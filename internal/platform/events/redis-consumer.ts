import { Code, ConnectError } from "@connectrpc/connect";
import type { Redis } from "ioredis";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Counter } from "../telemetry/metrics.ts";
import type { Consumer, EventRecord, Subscription } from "./event-bus.ts";
import type { Claim, Held, LeaseKeeper } from "./lease-keeper.ts";
import { fieldsOf, keys, type RawEntry, recordValues, toRecord } from "./redis-keys.ts";
import {
  commitScript,
  fencedReply,
  fullReply,
  movedReply,
  newestScript,
  parkScript,
  positionScript,
  readScript,
  redrivenScript,
} from "./redis-scripts.ts";
import { createStreamReader, type Cursor } from "./stream-reader.ts";

/** Keys of a partition that are handled at the same time. */
const keysAtOnceMax = 16;
/** Events that are handled together, where the subscriber can. */
const togetherMax = 64;
/** A long batch moves the position so often. */
const commitEveryMs = 500;
/** Pause before another attempt, doubled with each further one. */
const retryMsMin = 50;
const retryMsMax = 2000;
/** Dead letters of a group and partition; beyond, the consumer waits for them to be redriven. */
const parkedMax = 10_000;
const parkedPage = 100;
/** The server's reason for a dead letter is cut to this. */
const reasonCharsMax = 1000;
/** How much of a partition the exact read after a removal takes. */
const exactReadMax = 256;

/** What consumers need of their bus. */
export interface ConsumerDeps {
  readonly client: Redis;
  /** A connection for blocking reads, not yet connected. */
  readonly openReader: (name: string) => Redis;
  readonly keeper: LeaseKeeper;
  /** Resolves when the store is known to fit this process. */
  readonly open: () => Promise<void>;
  readonly partitions: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly counters: ConsumerCounters;
}

/** What consumers count. */
export type ConsumerCounters = Readonly<
  Record<"handled" | "retries" | "parked" | "lost", Counter<"service" | "topic">>
>;

/** Consumer is to stop, or has lost its partition. */
class StoppedError extends Error {
  override readonly name = "StoppedError";
}

/** The answer of a script that checks the fence; throws when it was outdated. */
function fenced(answer: number): number {
  if (answer === fencedReply || answer === movedReply) throw new StoppedError();
  return answer;
}

interface Item {
  readonly id: string;
  readonly ordinal: number;
  readonly record: EventRecord;
}

/**
 * A group: of each partition one reader over all processes, by lease. Its position moves behind what was handled, fenced by the
 * lease, so after a crash some events come again and none is left out. A holder that was paused repeats at most what it had read;
 * within a key it is behind or level with its successor at every moment, so first occurrences stay in order.
 */
export function createGroupConsumer(subscription: Subscription, deps: ConsumerDeps): Consumer {
  const { service, topic } = subscription;
  const { client, clock, keeper, partitions } = deps;
  const log = deps.log.child({ service, topic });
  const labels = { service, topic };
  const types = new Set(subscription.types);
  const groupKey = keys.group(service, topic);
  const leaseName = (partition: number): string => `group:${service}:${topic}:${partition}`;
  const reader = createStreamReader({
    connection: deps.openReader(`${service} ${topic}`),
    topic,
    group: groupKey,
    clock,
    log,
  });

  const consume = async (partition: number, held: Held): Promise<void> => {
    const leaseKey = keys.lease(leaseName(partition));
    const parkedKey = keys.parked(service, topic, partition);
    const parkedKeysKey = keys.parkedKeys(service, topic, partition);
    const redrivenKey = keys.redriven(service, topic, partition);
    /** Waits out a store that is away: nothing else can be done without it. */
    const insist = async <T>(work: () => Promise<T>): Promise<T> => {
      for (let failed = 0; ; failed++) {
        if (!held.isValid()) throw new StoppedError();
        try {
          return await work();
        } catch (error) {
          if (!isPassing(error)) throw error;
          await pause(deps, failed, held.signal);
        }
      }
    };
    await insist(deps.open);
    const [generation, startId, startOrdinal] = await insist(() =>
      positionScript.run(client, [groupKey, keys.topic(topic), keys.groups], [partition, `${service} ${topic}`]),
    );
    let [id, ordinal] = [startId.toString(), startOrdinal];
    /** Dead letters per subject: only this process adds and removes while it holds the lease. */
    const waiting = new Map<string, number>();
    for (const [field, count] of Object.entries(await insist(() => client.hgetall(parkedKeysKey)))) {
      if (field.startsWith("c")) waiting.set(field.slice(1), Number(count));
    }

    const commit = async (toId: string, toOrdinal: number, isLost: boolean): Promise<void> => {
      if (toOrdinal === ordinal) return;
      const args = [held.number, partition, generation, toId, toOrdinal, isLost ? 1 : 0];
      fenced(await insist(() => commitScript.run(client, [leaseKey, groupKey], args)));
      [id, ordinal] = [toId, toOrdinal];
    };

    const park = async (item: Item, reason: string, attempts: number): Promise<void> => {
      const { record } = item;
      const text = reason.slice(0, reasonCharsMax);
      const args = [held.number, generation, parkedMax, item.ordinal, record.subject, text, attempts];
      const answer = await insist(() =>
        parkScript.run(client, [leaseKey, groupKey, parkedKey, parkedKeysKey], [...args, ...recordValues(record)]),
      );
      if (fenced(answer) === fullReply) {
        log.error("the store of dead letters is full: the consumer waits for a redrive", { partition });
        await clock.sleep(retryMsMax, held.signal);
        throw new StoppedError(); // Begins again where the position stands, and with what is to be redriven.
      }
      waiting.set(record.subject, (waiting.get(record.subject) ?? 0) + 1);
      deps.counters.parked.add(1, labels);
    };

    /** Undefined when handled, else why not. */
    const tryHandle = (record: EventRecord): Promise<Failure | undefined> =>
      attempt(subscription, record, { generation, signal: held.signal, isValid: () => held.isValid(), log }, deps);

    const handle = async (item: Item): Promise<void> => {
      if (subscription.onFailure === "parkKey" && (waiting.get(item.record.subject) ?? 0) > 0) {
        await park(item, "waits behind an earlier event of its key", 0);
        return;
      }
      const failure = await tryHandle(item.record);
      if (failure !== undefined) await park(item, failure.reason, failure.attempts);
    };

    /** Hands dead letters back in the order in which they were parked; a key that fails again waits for the next time. */
    const redrive = async (): Promise<void> => {
      const subjects = new Set(await insist(() => client.smembers(redrivenKey)));
      const done = async (entryId: string, subject: string, failure: string): Promise<void> => {
        const args = [held.number, generation, entryId, subject, failure];
        const left = fenced(
          await insist(() =>
            redrivenScript.run(client, [leaseKey, groupKey, parkedKey, parkedKeysKey, redrivenKey], args),
          ),
        );
        if (left > 0) waiting.set(subject, left);
        else waiting.delete(subject);
      };
      for (let from = "-"; subjects.size > 0;) {
        const after = from;
        const page = await insist(() => client.xrangeBuffer(parkedKey, after, "+", "COUNT", parkedPage));
        for (const entry of page) {
          const entryId = entry[0].toString();
          from = `(${entryId}`;
          const record = toRecord(topic, fieldsOf(entry));
          if (!subjects.has(record.subject)) continue;
          const failure = await tryHandle(record);
          if (failure !== undefined) subjects.delete(record.subject);
          await done(entryId, record.subject, failure === undefined ? "" : JSON.stringify(failure));
        }
        if (page.length < parkedPage) break;
      }
    };

    /** Handles together what can be; returns what is left, from the first that could not. */
    const handleTogether = async (items: readonly Item[]): Promise<readonly Item[]> => {
      // An event behind a parked one of its key must be parked too.
      if (subscription.handleTogether === undefined || waiting.size > 0) return items;
      for (let from = 0; from < items.length; from += togetherMax) {
        if (!held.isValid()) throw new StoppedError();
        const some = items.slice(from, from + togetherMax);
        const wanted = some.map(({ record }) => record).filter(({ type }) => types.has(type));
        try {
          if (wanted.length > 0) {
            await subscription.handleTogether(wanted, { generation, attempt: 1, signal: held.signal });
          }
        } catch (error) {
          if (held.signal.aborted) throw new StoppedError();
          log.debug("events are handled one by one, since they could not be together", { err: error });
          return items.slice(from);
        }
        deps.counters.handled.add(wanted.length, labels);
        const last = some.at(-1);
        if (last !== undefined) await commit(last.id, last.ordinal, false);
      }
      return [];
    };

    /** Handles entries that begin with the given ordinal. */
    const handleEntries = async (entries: readonly RawEntry[], first: number): Promise<void> => {
      const items: Item[] = entries.map((entry, index) => ({
        id: entry[0].toString(),
        ordinal: first + index,
        record: toRecord(topic, fieldsOf(entry)),
      }));
      await handleInOrder(await handleTogether(items), {
        isWanted: ({ record }) => types.has(record.type),
        handle,
        progress: (last) => commit(last.id, last.ordinal, false),
        clock,
      });
    };

    const cursor = reader.open(partition, id);
    try {
      for (let redrives = ""; held.isValid();) {
        const batch = await cursor.take(held.signal);
        if (batch.generation !== generation) return; // A replay moved the group: begin again from where it stands now.
        if (batch.redrives !== redrives) {
          await redrive();
          ({ redrives } = batch);
        }
        if (batch.removed <= ordinal) {
          await handleEntries(batch.entries, ordinal + 1);
          continue;
        }
        // Removed since the last batch: before the entries were read (lost) or after (not). A read in one step tells.
        const [removed, entries] = await insist(() =>
          readScript.run(client, [keys.stream(topic, partition), keys.topic(topic)], [partition, id, exactReadMax]),
        );
        const missed = removed - ordinal;
        if (missed > 0) {
          deps.counters.lost.add(missed, labels);
          log.error("events were removed before they were handled: the consumer must be rebuilt", {
            partition,
            missed,
          });
          await commit(entries.length === 0 ? id : before((entries[0] as RawEntry)[0].toString()), removed, true);
        }
        await handleEntries(entries, ordinal + 1);
        cursor.seek(id);
      }
    } catch (error) {
      if (!(error instanceof StoppedError) && !held.signal.aborted) throw error;
    } finally {
      cursor.close();
    }
  };

  let claim: Claim | undefined;
  const { promise: caughtUp, resolve } = Promise.withResolvers<void>();
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    await claim?.stop();
    await reader.stop();
    resolve();
  };
  return {
    name: `consumer of ${topic} for ${service}`,
    caughtUp,
    start: () => {
      if (stopped !== undefined) return Promise.resolve();
      claim = keeper.claim({
        leases: Array.from({ length: partitions }, (_, partition) => leaseName(partition)),
        membersKey: keys.members(service, topic),
        work: consume,
      });
      void claim.asked.then(resolve);
      return Promise.resolve();
    },
    stop: () => (stopped ??= stop()),
  };
}

/** Each instance reads every partition, from a point in time on, and keeps its position in memory. */
export function createInstanceConsumer(subscription: Subscription, deps: ConsumerDeps): Consumer {
  const { service, topic, backMs } = subscription;
  const { client, clock, partitions } = deps;
  const log = deps.log.child({ service, topic });
  const types = new Set(subscription.types);
  const stopping = new AbortController();
  const { signal } = stopping;
  const reader = createStreamReader({
    connection: deps.openReader(`${service} ${topic}`),
    topic,
    group: undefined,
    clock,
    log,
  });
  const caughtUp = Promise.withResolvers<void>();

  const follow = async (cursor: Cursor, target: string, reached: () => void): Promise<void> => {
    for (;;) {
      const { entries } = await cursor.take(signal);
      const items: Item[] = entries.map((entry, index) => ({
        id: entry[0].toString(),
        ordinal: index,
        record: toRecord(topic, fieldsOf(entry)),
      }));
      await handleInOrder(items, {
        isWanted: ({ record }) => types.has(record.type),
        handle: async ({ record }) => {
          const isValid = (): boolean => !signal.aborted;
          const failure = await attempt(subscription, record, { generation: 0, signal, isValid, log }, deps);
          if (failure !== undefined) {
            log.error("an event was skipped: its handler failed", { event: record.id, reason: failure.reason });
          }
        },
        progress: () => Promise.resolve(),
        clock,
      });
      const last = items.at(-1);
      if (last !== undefined && compareIds(last.id, target) >= 0) reached();
    }
  };

  const run = async (): Promise<void> => {
    const streams = Array.from({ length: partitions }, (_, partition) => keys.stream(topic, partition));
    let newest: [number, ...Buffer[]] | undefined;
    for (let failed = 0; newest === undefined; failed++) {
      signal.throwIfAborted();
      try {
        await deps.open();
        newest = await newestScript.run(client, streams, []);
      } catch (error) {
        if (!isPassing(error)) throw error;
        await pause(deps, failed, signal);
      }
    }
    const [nowMs, ...ids] = newest;
    const startId = `${Math.max(0, nowMs - backMs)}-0`;
    let behind = partitions;
    const reached = (): void => {
      if (--behind === 0) caughtUp.resolve();
    };
    await Promise.all(
      ids.map((raw, partition) => {
        const target = raw.toString();
        // Nothing stored now is younger than the start: begin right behind it, also when the server's clock stepped back.
        const isReached = compareIds(target, startId) < 0;
        if (isReached) reached();
        let isDone = isReached;
        return follow(reader.open(partition, isReached ? target : before(startId)), target, () => {
          if (!isDone) reached();
          isDone = true;
        });
      }),
    );
  };

  let running: Promise<void> = Promise.resolve();
  let stopped: Promise<void> | undefined;
  const stop = async (): Promise<void> => {
    stopping.abort(new StoppedError());
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

/**
 * Handles items: those of one key in order and one at a time, several keys side by side. `progress` is told the last item before
 * which, itself included, everything was handled: now and then, and at the end, also after a failure.
 */
async function handleInOrder(
  items: readonly Item[],
  how: {
    readonly isWanted: (item: Item) => boolean;
    readonly handle: (item: Item) => Promise<void>;
    readonly progress: (last: Item) => Promise<void>;
    readonly clock: Clock;
  },
): Promise<void> {
  const chains = new Map<string, Item[]>();
  const open = new Set<Item>();
  for (const item of items) {
    if (!how.isWanted(item)) continue;
    open.add(item);
    const chain = chains.get(item.record.subject);
    if (chain === undefined) chains.set(item.record.subject, [item]);
    else chain.push(item);
  }
  let told = 0;
  const tell = async (): Promise<void> => {
    let handled = told;
    while (handled < items.length && !open.has(items[handled] as Item)) handled++;
    if (handled === told) return;
    told = handled;
    await how.progress(items[handled - 1] as Item);
  };
  const rest = chains.values();
  let hasFailed = false;
  const worker = async (): Promise<void> => {
    for (const chain of rest) {
      for (const item of chain) {
        if (hasFailed) return;
        await how.handle(item);
        open.delete(item);
      }
    }
  };
  const done = new AbortController();
  const meanwhile = async (): Promise<void> => {
    while (!done.signal.aborted) {
      await how.clock.sleep(commitEveryMs, done.signal).catch(() => undefined); // Ends the loop.
      if (!done.signal.aborted) await tell();
    }
  };
  const telling = meanwhile().catch((error: unknown) => {
    hasFailed = true;
    throw error;
  });
  telling.catch(() => undefined); // Heard below, once the handlers have ended.
  const outcomes = await Promise.allSettled(
    Array.from({ length: Math.min(keysAtOnceMax, chains.size) }, () =>
      worker().catch((error: unknown) => {
        hasFailed = true;
        throw error;
      }),
    ),
  );
  done.abort();
  const [told1] = await Promise.allSettled([telling]);
  const failed = [told1, ...outcomes].find((outcome) => outcome.status === "rejected");
  if (failed === undefined) {
    await tell();
    return;
  }
  await tell().catch(() => undefined); // The first failure says why.
  throw failed.reason;
}

interface Failure {
  readonly reason: string;
  readonly attempts: number;
}

/** Runs the handler until it succeeds or has failed as often as it may. A store that is away does not count as failing. */
async function attempt(
  subscription: Subscription,
  record: EventRecord,
  context: {
    readonly generation: number;
    readonly signal: AbortSignal;
    readonly isValid: () => boolean;
    readonly log: Logger;
  },
  deps: ConsumerDeps,
): Promise<Failure | undefined> {
  const { generation, signal, isValid, log } = context;
  const labels = { service: subscription.service, topic: subscription.topic };
  let counted = 0;
  for (let number = 1; ; number++) {
    if (!isValid()) throw new StoppedError();
    try {
      await subscription.handle(record, { generation, attempt: number, signal });
      deps.counters.handled.add(1, labels);
      return undefined;
    } catch (error) {
      if (signal.aborted) throw new StoppedError();
      if (!isPassing(error)) counted++;
      log.warn("an event could not be handled", {
        event: record.id,
        subject: record.subject,
        attempt: number,
        err: error,
      });
      if (counted >= subscription.attemptsMax) return { reason: String(error), attempts: counted };
      deps.counters.retries.add(1, labels);
      await pause(deps, number - 1, signal);
    }
  }
}

/** True for a failure that says nothing about the event: something that is needed is away. */
function isPassing(error: unknown): boolean {
  if (error instanceof ConnectError) return error.code === Code.Unavailable;
  return error instanceof MuinError && error.code === "unavailable";
}

/** Waits before another attempt; rejects when aborted. */
async function pause(
  { clock, random }: Pick<ConsumerDeps, "clock" | "random">,
  failed: number,
  signal: AbortSignal,
): Promise<void> {
  const ms = Math.min(retryMsMin * 2 ** Math.min(failed, 10), retryMsMax);
  await clock.sleep(ms * (0.5 + random.fraction() / 2), signal);
}

/** Order of stream ids. */
function compareIds(a: string, b: string): number {
  const [[aMs = 0, aSequence = 0], [bMs = 0, bSequence = 0]] = [a.split("-").map(Number), b.split("-").map(Number)];
  return aMs === bMs ? aSequence - bSequence : aMs - bMs;
}

/** An id just before another, after every earlier entry's. */
function before(id: string): string {
  const [ms = 0, sequence = 0] = id.split("-").map(Number);
  return sequence > 0 ? `${ms}-${sequence - 1}` : `${Math.max(0, ms - 1)}-${ms > 0 ? Number.MAX_SAFE_INTEGER : 0}`;
}
