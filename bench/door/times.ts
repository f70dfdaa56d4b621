import { createLatencyRecorder, type Latency } from "../harness/latency.ts";

/** How long it took, by what was waited for since the write began. */
export interface WriteTimes {
  readonly latencyMs: Readonly<Record<string, Latency & { readonly mean: number }>>;
  /** Decisions that were wrong after the write. */
  readonly wrong: number;
}

/** Writes begin at most so often: one after the other. */
const writesPerS = 100;

/** Times of steps that begin when they are due, by these names. */
export interface Times {
  /** Runs a step when it is due; it tells what has come to be since it began. */
  paced(step: (since: (name: string) => void) => Promise<void>): Promise<void>;
  all(): WriteTimes["latencyMs"];
}

/** Starts with none. */
export function createTimes(names: readonly string[]): Times {
  const recorders = new Map(names.map((name) => [name, { recorder: createLatencyRecorder(), sum: 0, count: 0 }]));
  const firstMs = performance.now();
  let steps = 0;
  return {
    paced: async (step) => {
      const early = firstMs + (steps * 1000) / writesPerS - performance.now();
      steps += 1;
      if (early > 0) await Bun.sleep(early);
      const beganMs = performance.now();
      await step((name) => {
        const times = recorders.get(name);
        if (times === undefined) throw new Error(`no time is called ${name}`);
        const ms = performance.now() - beganMs;
        times.recorder.record(ms);
        times.sum += ms;
        times.count += 1;
      });
    },
    all: () =>
      Object.fromEntries(
        Array.from(recorders, ([name, { recorder, sum, count }]) => [
          name,
          { ...recorder.summary(), mean: sum / Math.max(1, count) },
        ]),
      ),
  };
}
