import type { Clock } from "../clock/clock.ts";
import type { Component } from "./component.ts";

/**
 * Does something again and again while it runs, never twice at a time: at its start, and `everyMs` after the end of the last time.
 * With `atStop` it does it once more when it stops, so that nothing is left undone. `onFailure` is told of a time that failed; the
 * next comes all the same. Work under way is waited for at the stop, with its signal aborted.
 */
export function createLoop(options: {
  readonly name: string;
  readonly clock: Clock;
  readonly everyMs: number;
  readonly atStop?: boolean;
  readonly work: (signal: AbortSignal) => Promise<unknown>;
  readonly onFailure: (error: unknown) => void;
}): Component {
  const { name, clock, everyMs, atStop = false, work, onFailure } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> = Promise.resolve();
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      await work(signal).catch(onFailure);
      await clock.sleep(everyMs, signal).catch(() => undefined); // Ends the loop.
    }
    if (atStop) await work(signal).catch(onFailure);
  };
  return {
    name,
    start: () => {
      running = run();
      return Promise.resolve();
    },
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}
