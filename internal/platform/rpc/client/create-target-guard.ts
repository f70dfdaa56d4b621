import { Code, ConnectError } from "@connectrpc/connect";
import { BrokenCircuitError, circuitBreaker, ConsecutiveBreaker, handleWhen } from "cockatiel";
import { MuinError } from "../../errors/muin-error.ts";
import { TimeoutError } from "../../lifecycle/timeout.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { callErrors } from "../call/errors.ts";
import { createErrorMapper, errorDomain } from "../call/map-error.ts";
import { abortError } from "../call/race.ts";
import type { CallPolicy } from "./call-policy.ts";
import { createBulkhead } from "./create-bulkhead.ts";

/** Keeps one target from being called while it fails, and from being called by too many at once. */
export interface TargetGuard {
  /** Runs an attempt after its turn. Rejects when too many wait, and while the target is left alone. */
  queued<T>(attempt: () => Promise<T>, whileWanted: AbortSignal): Promise<T>;
  /** Runs an attempt at once. Rejects while the target is left alone. */
  direct<T>(attempt: () => Promise<T>): Promise<T>;
  /**
   * The error of an attempt that had `hadMs` milliseconds and threw. It speaks against the target, not against the call, when the
   * target was not there, or late although it had long enough.
   */
  judge(thrown: unknown, hadMs: number, whileWanted: AbortSignal): ConnectError;
  /** Whether a judged error speaks against the target. */
  isFailure(error: ConnectError): boolean;
  /** What the caller gets of whatever was thrown, by the guard too. */
  explain(thrown: unknown): ConnectError;
  /** The error of a call that did not end in time. */
  late(): ConnectError;
}

/** Guards `target`, a name for errors and metrics. */
export function createTargetGuard(target: string, policy: CallPolicy, metrics: Metrics): TargetGuard {
  const errors = createErrorMapper(errorDomain);
  const breaks = metrics.counter({
    name: "circuit_breaks_total",
    help: "Times that a target was left alone after failing repeatedly.",
    labels: ["target"],
  });
  const { concurrentMax, queueMax } = policy;
  const slots = createBulkhead({ name: target, concurrentMax, queueMax, metrics });
  const failures = new WeakSet<Error>();
  const breaker = circuitBreaker(
    handleWhen((error) => error instanceof Error && failures.has(error)),
    { breaker: new ConsecutiveBreaker(policy.failuresMax), halfOpenAfter: policy.openMs },
  );
  breaker.onBreak(() => breaks.add(1, { target }));
  const late = (): ConnectError => new ConnectError(`${target} did not answer in time`, Code.DeadlineExceeded);
  return {
    queued: (attempt, whileWanted) => slots.run(() => breaker.execute(attempt, whileWanted), whileWanted),
    direct: (attempt) => breaker.execute(attempt),
    judge: (thrown, hadMs, whileWanted) => {
      const error = ConnectError.from(whileWanted.aborted ? endOf(whileWanted, late) : thrown);
      const isLate = error.code === Code.DeadlineExceeded && hadMs >= policy.slowMs;
      // A caller that stops may say "unavailable" of itself.
      if (isLate || (error.code === Code.Unavailable && !whileWanted.aborted)) failures.add(error);
      return error;
    },
    isFailure: (error) => failures.has(error),
    explain: (thrown) => {
      if (thrown instanceof BrokenCircuitError) {
        const message = `${target} fails at the moment and is left alone`;
        return errors.map(callErrors.targetUnavailable({ message, retryAfterMs: policy.openMs })).error;
      }
      return thrown instanceof MuinError ? errors.map(thrown).error : ConnectError.from(thrown);
    },
    late,
  };
}

function endOf(signal: AbortSignal, late: () => ConnectError): ConnectError {
  return signal.reason instanceof TimeoutError ? late() : abortError(signal);
}
