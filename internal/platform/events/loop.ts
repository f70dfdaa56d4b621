import type { Clock } from "../clock/clock.ts";
import type { Component } from "../app/component.ts";

/**
 * Does something again and again while it runs, `everyMs` after the end of the last time. `onFailure` is told of a time that failed;
 * the next comes all the same. Work under way is waited for at the stop, with its signal aborted.
 */
export function createLoop(options: {
  readonly name: string;
  readonly clock: Clock;
  readonly everyMs: number;
  readonly work: (signal: AbortSignal) => Promise<unknown>;
  readonly onFailure: (error: unknown) => void;
}): Component {
  const { name, clock, everyMs, work, onFailure } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> = Promise.resolve();
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      await work(signal).catch(onFailure);
      await clock.sleep(everyMs, signal).catch(() => undefined); // Ends the loop.
    }
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
