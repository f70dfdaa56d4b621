import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { ReadValues } from "./source.ts";

/** Pause between two looks at the primary's clock. */
const everyMs = 1000;

/** Looks at the primary's clock again and again, so that a step of it is known also when all reads go to a replica. */
export function createClockSampler(readPrimary: ReadValues, clock: Clock): Component {
  const stopping = new AbortController();
  const run = async (): Promise<void> => {
    while (!stopping.signal.aborted) {
      await readPrimary([]).catch(() => undefined); // Away: what was seen of its clock goes on.
      await clock.sleep(everyMs, stopping.signal).catch(() => undefined); // Stopping ends the pause.
    }
  };
  return {
    name: "count-read clock sampler",
    start: () => {
      void run(); // It never rejects.
      return Promise.resolve();
    },
    // Not waiting for a look under way: at a primary that stands still it ends only with the connection.
    stop: () => {
      stopping.abort();
      return Promise.resolve();
    },
  };
}
