import { AsyncLocalStorage } from "node:async_hooks";
import { bulkhead, BulkheadRejectedError } from "cockatiel";
import type { Metrics } from "../../telemetry/metrics.ts";
import { callErrors } from "../call/errors.ts";

/** Keeps what waits for one target or store from taking the whole process with it. */
export interface Bulkhead {
  /**
   * Runs `work`, at once or after its turn, in the async context of its caller. Rejects with MuinError `resource_exhausted` when too
   * many wait already. Work that is still waiting when `signal` is aborted is not begun.
   */
  run<T>(work: () => Promise<T>, signal?: AbortSignal): Promise<T>;
}

/** Makes a bulkhead for at most `concurrentMax` at once and `queueMax` waiting. */
export function createBulkhead(options: {
  /** What lies behind it, for errors and metrics. */
  readonly name: string;
  readonly concurrentMax: number;
  readonly queueMax: number;
  readonly metrics: Metrics;
}): Bulkhead {
  const { name } = options;
  const policy = bulkhead(options.concurrentMax, options.queueMax);
  const rejections = options.metrics.counter({
    name: "bulkhead_rejections_total",
    help: "Work that was refused because too much was waiting, by what it was waiting for.",
    labels: ["name"],
  });
  return {
    run: async (work, signal) => {
      try {
        // Unbound, work that waited would run as part of the call whose end let it in.
        return await policy.execute(AsyncLocalStorage.bind(work), signal);
      } catch (error) {
        if (!(error instanceof BulkheadRejectedError)) throw error;
        rejections.add(1, { name });
        throw callErrors.overloaded({
          message: `too much is waiting for ${name}; try again shortly`,
          cause: error,
        });
      }
    },
  };
}
