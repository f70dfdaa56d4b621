import type { Component } from "../../platform/app/component.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";

/**
 * A component that does `work` every `everyMs`, never twice at a time; with `atStop` a last time when it stops. A failure is
 * logged, and the next turn tries again.
 */
export function createLoop(options: {
  readonly name: string;
  readonly everyMs: number;
  readonly atStop: boolean;
  readonly clock: Clock;
  readonly log: Logger;
  readonly work: () => Promise<void>;
}): Component {
  const { name, everyMs, atStop, clock, log, work } = options;
  const stopping = new AbortController();
  let running: Promise<void> = Promise.resolve();
  const turn = (): Promise<void> => work().catch((error: unknown) => log.warn(`${name} failed`, { err: error }));
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await clock.sleep(everyMs, stopping.signal).catch(() => undefined); // Woken early: it stops.
      if (!stopping.signal.aborted) await turn();
    }
    if (atStop) await turn();
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
