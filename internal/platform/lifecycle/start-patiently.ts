import type { Clock } from "../clock/clock.ts";
import type { Component } from "./component.ts";

/**
 * The component for whom nobody waits for longer than `waitMsMax`: its `start` resolves then, and it goes on starting. A start that
 * fails in time rejects; of one that fails later `failedLate` is told.
 */
export function startPatiently(
  component: Component,
  options: {
    readonly waitMsMax: number;
    readonly clock: Pick<Clock, "sleep">;
    failedLate(error: unknown): void;
  },
): Component {
  const { waitMsMax, clock } = options;
  return {
    name: component.name,
    start: async () => {
      const started = component.start();
      const settled = new AbortController();
      const wait = async (): Promise<void> => {
        await clock.sleep(waitMsMax, settled.signal);
        started.catch((error: unknown) => options.failedLate(error));
      };
      const waited = wait();
      waited.catch(() => undefined); // It started in time.
      try {
        await Promise.race([started, waited]);
      } finally {
        settled.abort();
      }
    },
    stop: () => component.stop(),
  };
}
