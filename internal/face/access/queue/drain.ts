import { fromBinary } from "@bufbuild/protobuf";
import { EntrySchema } from "../../../gen/muin/face/v1/entry_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { createBell } from "../../../platform/lifecycle/bell.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Metrics } from "../../../platform/telemetry/metrics.ts";
import type { EntryStore } from "../entry/store.ts";
import { eventOf, type AccessPublish } from "../events.ts";
import type { EntryQueue } from "./entry-queue.ts";

/** Entries that one transaction records. */
const batchMax = 500;
/** Pause when there is nothing to do, unless something comes; and after a failure. */
const restMs = 1000;
/** What waits at a stop is still stored within so long; else at the next start. */
const stopMsMax = 2000;

/** Moves entries from the queue to the database, in order, each with its event. One that comes twice is recorded once. */
export function createDrain(deps: {
  readonly queue: Pick<EntryQueue, "read" | "done" | "sweep" | "bytes" | "onAppended">;
  readonly database: Database;
  readonly entries: Pick<EntryStore, "record">;
  readonly publish: AccessPublish;
  readonly newPseudonym: () => string;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}): Component {
  const { queue, database, entries, publish, newPseudonym, clock, log, metrics } = deps;
  const bytes = metrics.gauge({
    name: "access_queue_bytes",
    help: "Entries that wait on disk for the database.",
  });
  const bell = createBell();
  queue.onAppended(bell.ring);
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> = Promise.resolve();

  /** Moves a batch; false when there was none. */
  const move = async (): Promise<boolean> => {
    const batch = await queue.read(batchMax);
    if (batch === undefined) return false;
    const read = batch.payloads.map((payload) => fromBinary(EntrySchema, payload));
    await database.transaction(async (tx) => {
      const recorded = await entries.record(tx, read, newPseudonym);
      const events = recorded.map((entry) => eventOf(entry, publish)).filter((event) => event !== undefined);
      await publish.record(tx, events);
    });
    await queue.done(batch);
    return true;
  };

  const moveAll = async (): Promise<void> => {
    while (await move());
    await queue.sweep();
  };

  const run = async (): Promise<void> => {
    let isAway = false;
    while (!signal.aborted) {
      bell.reset(); // Before the look, so that what is appended during it rings again.
      try {
        const moved = await move();
        bytes.set(queue.bytes());
        if (isAway) log.info("entries are stored in the database again");
        isAway = false;
        if (moved) continue;
        const beganMs = clock.monotonic();
        await bell.wait(clock, restMs, signal);
        if (clock.monotonic() - beganMs >= restMs) await queue.sweep();
      } catch (error) {
        if (!isAway) log.warn("entries wait on disk: they could not be stored in the database", { err: error });
        isAway = true;
        bytes.set(queue.bytes());
        await clock.sleep(restMs, signal).catch(() => undefined); // Aborted: the loop ends.
      }
    }
  };

  return {
    name: "access recording of entries",
    start: () => {
      running = run();
      return Promise.resolve();
    },
    stop: async () => {
      stopping.abort();
      await running;
      try {
        await timeout(clock, stopMsMax, moveAll());
      } catch (error) {
        log.info("entries wait on disk for the next start", { err: error });
      }
    },
  };
}
