import type { Consumer, Subscription } from "../broker.ts";
import { handleEvent } from "../handle-event.ts";
import { handleInOrder } from "../handle-in-order.ts";
import { retryInTurn, type Turn, TurnOverError } from "../turn.ts";
import type { BrokerParts } from "./broker-parts.ts";
import { placeEntries } from "./entries.ts";
import { keys } from "./keys.ts";
import { newestScript } from "./scripts.ts";
import { compareStreamIds, streamIdBefore } from "./stream-id.ts";
import { createStreamReader, type Cursor } from "./stream-reader.ts";

/**
 * Each instance reads every partition, from a point in time on, and keeps its position in memory. An event whose handler keeps
 * failing is logged and left out.
 */
export function createInstanceConsumer(subscription: Subscription, parts: BrokerParts): Consumer {
  const { service, topic, backMs } = subscription;
  const { client, clock, open, partitions } = parts;
  const log = parts.log.child({ service, topic });
  const types = new Set(subscription.types);
  const stopping = new AbortController();
  const { signal } = stopping;
  const turn: Turn = { signal, isValid: () => !signal.aborted };
  const connection = parts.openReader(`${service} ${topic}`);
  const reader = createStreamReader({ ...parts, connection, topic, group: undefined, log });
  const caughtUp = Promise.withResolvers<void>();

  /** Handles what comes, until the signal; `told` hears up to where, piece by piece. */
  const follow = async (cursor: Cursor, told: (id: string) => void): Promise<void> => {
    for (;;) {
      const { entries } = await cursor.take(signal);
      const events = placeEntries(topic, entries, 1);
      await handleInOrder(events, {
        isWanted: ({ record }) => types.has(record.type),
        handle: async ({ record }) => {
          const failure = await handleEvent(subscription, record, { generation: 0, turn }, { ...parts, log });
          if (failure === undefined) return;
          log.error("an event was skipped: its handler failed", { event: record.id, reason: failure.reason });
        },
        progress: () => Promise.resolve(),
        clock,
      });
      const last = events.at(-1);
      if (last !== undefined) told(last.id);
    }
  };

  const run = async (): Promise<void> => {
    const streams = partitions.map((partition) => keys.stream(topic, partition));
    await retryInTurn(open, turn, parts);
    const [nowMs, ...newest] = await retryInTurn(() => newestScript.run(client, [], streams), turn, parts);
    const startId = `${Math.max(0, nowMs - backMs)}-0`;
    const behind = new Set(partitions);
    const reach = (partition: number): void => {
      behind.delete(partition);
      if (behind.size === 0) caughtUp.resolve();
    };
    await Promise.all(
      partitions.map((partition) => {
        const target = newest[partition]?.toString() ?? "0-0";
        // Nothing stored now is younger than the start: begin right behind it, also when the server's clock stepped back.
        const isOlder = compareStreamIds(target, startId) < 0;
        if (isOlder) reach(partition);
        return follow(reader.open(partition, isOlder ? target : streamIdBefore(startId)), (id) => {
          if (compareStreamIds(id, target) >= 0) reach(partition);
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
