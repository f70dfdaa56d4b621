import type { Clock } from "../../../platform/clock/clock.ts";
import { createBell } from "../../../platform/lifecycle/bell.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { createEntryQueue } from "../queue/entry-queue.ts";
import type { Answered, AnsweredStore, PassMemory } from "./store.ts";

/** Keeps what was answered without the shared store until that was told, over restarts. */
export interface Untold extends Component {
  /** Resolves once it is on disk. Throws as `EntryQueue.append` does: then it may be told all the same. */
  keep(answered: Answered): Promise<void>;
}

/** Bytes that wait on disk, some hundred thousand answers; beyond, nobody is let in by a pass while the shared store is away. */
const bytesMax = 128 * 1024 * 1024;
/** Told at a time. */
const batchMax = 100;
/** Pause when there is nothing to tell, unless something comes. */
const restMs = 1000;
/** Pause after a failure: for that long after the store is back, a pass that was used here opens elsewhere. */
const retryMs = 100;
/** A batch is waited for so long; then it is told again. */
const tellMsMax = 1000;
/** What waits at a stop is still told within so long; else at the next start. */
const stopMsMax = 1000;

export function createUntold(deps: {
  readonly shared: AnsweredStore;
  readonly own: Pick<PassMemory, "recall">;
  readonly folder: string;
  readonly clock: Clock;
  readonly log: Logger;
}): Untold {
  const { shared, own, folder, clock, log } = deps;
  const queue = createEntryQueue({ folder, bytesMax, log });
  const bell = createBell();
  queue.onAppended(bell.ring);
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> = Promise.resolve();

  /** Tells a batch; false when there was none. */
  const tell = async (): Promise<boolean> => {
    const batch = await queue.read(batchMax);
    if (batch === undefined) return false;
    const told = batch.payloads.map((payload) => {
      const { answered, atMs } = unpack(payload);
      return shared.tell(answered, clock.now() - atMs);
    });
    await timeout(clock, tellMsMax, Promise.all(told));
    await queue.done(batch);
    return true;
  };
  const tellAll = async (): Promise<void> => {
    while (await tell());
    await queue.sweep();
  };

  const run = async (): Promise<void> => {
    let isAway = false;
    while (!signal.aborted) {
      bell.reset(); // Before the look, so that what is kept during it rings again.
      try {
        await tellAll();
        if (isAway) log.info("the face store was told what was answered without it");
        isAway = false;
        await bell.wait(clock, restMs, signal);
      } catch (error) {
        if (!isAway) log.warn("what was answered without the face store waits on disk", { err: error });
        isAway = true;
        await clock.sleep(retryMs, signal).catch(() => undefined); // Aborted: the loop ends.
      }
    }
  };

  return {
    name: "access answers without the face store",
    start: async () => {
      await queue.start();
      for (const payload of await queue.readAll()) {
        const { answered, atMs } = unpack(payload);
        const { usedPass } = answered;
        if (usedPass !== undefined) own.recall(usedPass.passId, usedPass.keptMs - Math.max(0, clock.now() - atMs));
      }
      running = run();
    },
    stop: async () => {
      stopping.abort();
      await running;
      try {
        await timeout(clock, stopMsMax, tellAll());
      } catch (error) {
        log.info("what was answered without the face store waits for the next start", { err: error });
      }
      await queue.stop();
    },
    keep: (answered) => queue.append(pack(answered, clock.now())),
  };
}

/** As it lies on disk. Bytes are base64. */
interface Packed extends Omit<Answered, "attempt" | "entry"> {
  readonly attempt: { readonly [name in keyof Answered["attempt"]]: string };
  readonly entry: string;
  readonly atMs: number;
}

function pack({ attempt, entry, usedPass, ...rest }: Answered, atMs: number): Buffer {
  const { deviceId, nonce, fingerprint, embedding, entryId } = attempt;
  const packed: Packed = {
    ...rest,
    attempt: {
      deviceId,
      nonce,
      fingerprint: fingerprint.toString("base64"),
      embedding: embedding?.toString("base64") ?? "",
      entryId,
    },
    entry: entry.toString("base64"),
    usedPass: usedPass && { passId: usedPass.passId, keptMs: usedPass.keptMs },
    atMs,
  };
  return Buffer.from(JSON.stringify(packed));
}

function unpack(payload: Buffer): { readonly answered: Answered; readonly atMs: number } {
  const { attempt, entry, atMs, ...rest } = JSON.parse(payload.toString()) as Packed;
  const { fingerprint, embedding } = attempt;
  const answered = {
    ...rest,
    attempt: {
      ...attempt,
      fingerprint: Buffer.from(fingerprint, "base64"),
      embedding: embedding === "" ? undefined : Buffer.from(embedding, "base64"),
    },
    entry: Buffer.from(entry, "base64"),
  };
  return { answered, atMs };
}
