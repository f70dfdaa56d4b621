import type { Clock } from "../clock/clock.ts";
import type { Component } from "../lifecycle/component.ts";
import type { Logger } from "../telemetry/logger.ts";

/** Whether a process can serve: looked at again and again while it runs. */
export interface ProcessReadiness extends Component {
  /** Why it cannot, as of the last look; `undefined` when it can. */
  problem(): string | undefined;
  /** Resolves when it can for the first time; rejects when it is stopped before. */
  readonly firstReady: Promise<void>;
}

/** How often readiness is asked for, in milliseconds: of a process that is ready, and of one that is not. */
const readyPeriodMs = 1000;
const unreadyPeriodMs = 100;

/** Watches the readiness of the process `name`. `look` says why it cannot serve, or `undefined`; it never rejects. */
export function createProcessReadiness(options: {
  readonly name: string;
  look(): Promise<string | undefined>;
  readonly clock: Clock;
  readonly log: Logger;
}): ProcessReadiness {
  const { clock, log } = options;
  const stopped = new AbortController();
  const { signal } = stopped;
  const firstReady = Promise.withResolvers<void>();
  firstReady.promise.catch(() => undefined); // Whoever does not wait for it learns from the log.
  let problem: string | undefined = "starting";
  const watch = async (): Promise<void> => {
    while (!signal.aborted) {
      const found = await options.look();
      if (found === undefined && problem !== undefined) {
        log.info("ready");
        firstReady.resolve();
      }
      if (found !== undefined && problem === undefined) log.warn("not ready", { reason: found });
      problem = found;
      await clock.sleep(problem === undefined ? readyPeriodMs : unreadyPeriodMs, signal).catch(() => undefined);
    }
  };
  return {
    name: "readiness",
    problem: () => problem,
    firstReady: firstReady.promise,
    start: async () => {
      void watch(); // Ends with `stop`; it never rejects.
    },
    stop: async () => {
      stopped.abort();
      firstReady.reject(new Error(`${options.name} was stopped before it was ready`));
    },
  };
}
