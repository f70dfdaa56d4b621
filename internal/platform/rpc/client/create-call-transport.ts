import { type DescMethod } from "@bufbuild/protobuf";
import { durationMs, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { BrokenCircuitError, circuitBreaker, ConsecutiveBreaker, handleWhen } from "cockatiel";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import { MuinError } from "../../errors/muin-error.ts";
import { callErrors } from "../call/errors.ts";
import { createErrorMapper, errorDomain } from "../call/map-error.ts";
import { abortError, race } from "../call/race.ts";
import { servedCall } from "../call/served-call.ts";
import type { CallObserver, CallSpan } from "../../telemetry/call-observer.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { createBulkhead } from "./create-bulkhead.ts";

/** How calls to one target are guarded. Times in milliseconds. */
export interface CallPolicy {
  /** Deadline of a call that names none. */
  readonly timeoutMsDefault: number;
  /** Taken off the deadline of the call that is served meanwhile: what is needed to answer it in time. */
  readonly timeoutMarginMs: number;
  /** Attempts at a call that is safe to repeat, the first included. */
  readonly attemptsMax: number;
  /** Longest pause before the second attempt; doubles with each. The pause is uniform between none and that. */
  readonly pauseMs: number;
  readonly pauseMsMax: number;
  /** Calls at once, and calls that wait for their turn. */
  readonly concurrentMax: number;
  readonly queueMax: number;
  /** Failures in a row after which the target is left alone. */
  readonly failuresMax: number;
  /** How long it is left alone before one call tries again. */
  readonly openMs: number;
  /** A call that had at least this long and was late counts as a failure; of a shorter one the caller asked too much. */
  readonly slowMs: number;
}

const defaultPolicy: CallPolicy = {
  timeoutMsDefault: 5000,
  timeoutMarginMs: 20,
  attemptsMax: 3,
  pauseMs: 50,
  pauseMsMax: 1000,
  concurrentMax: 256,
  queueMax: 256,
  failuresMax: 5,
  openMs: 1000,
  slowMs: 1000,
};

/** What guarding calls needs. */
export interface CallTransportOptions {
  /** What is called, for errors and metrics. */
  readonly target: string;
  readonly transport: Transport;
  readonly observer: CallObserver;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  readonly policy?: Partial<CallPolicy>;
}

/**
 * Guards calls to one target: each has a deadline, a limit on how many wait, a circuit breaker, and, when its method is safe to
 * repeat, further attempts after `unavailable`, no sooner than its RetryInfo says. A call made while another is served ends
 * before that one's deadline, less a margin, and when its caller goes away. Each attempt is observed and carries its trace.
 * Streams are neither repeated nor queued, have no deadline of their own, and end with the call that is served at the latest.
 * Rejects with ConnectError.
 */
export function createCallTransport(options: CallTransportOptions): Transport {
  const { target, transport, observer, clock, random, metrics } = options;
  const policy: CallPolicy = { ...defaultPolicy, ...options.policy };
  const errors = createErrorMapper(errorDomain);
  const retries = metrics.counter({
    name: "rpc_client_retries_total",
    help: "Calls that were tried again, by target.",
    labels: ["target"],
  });
  const breaks = metrics.counter({
    name: "circuit_breaks_total",
    help: "Times that a target was left alone after failing repeatedly.",
    labels: ["target"],
  });
  const slots = createBulkhead({
    name: target,
    concurrentMax: policy.concurrentMax,
    queueMax: policy.queueMax,
    metrics,
  });
  /** Errors that speak against the target, not against the call. */
  const failures = new WeakSet<Error>();
  const breaker = circuitBreaker(
    handleWhen((error) => error instanceof Error && failures.has(error)),
    { breaker: new ConsecutiveBreaker(policy.failuresMax), halfOpenAfter: policy.openMs },
  );
  breaker.onBreak(() => breaks.add(1, { target }));

  const judged = (thrown: unknown, hadMs: number, whileWanted: AbortSignal): ConnectError => {
    const error = ConnectError.from(whileWanted.aborted ? abortError(whileWanted) : thrown);
    const isLate = error.code === Code.DeadlineExceeded && hadMs >= policy.slowMs;
    // A caller that stops may say "unavailable" of itself.
    if (isLate || (error.code === Code.Unavailable && !whileWanted.aborted)) failures.add(error);
    return error;
  };
  /** Milliseconds that a call may take: those it names, or what is left of the call that is served meanwhile. */
  const budgetOf = (timeoutMs: number): number => {
    const leftMs = servedCall()?.timeoutMs() ?? Infinity;
    const budgetMs = Math.min(timeoutMs, leftMs - policy.timeoutMarginMs);
    if (budgetMs <= 0) throw lateError(target);
    return budgetMs;
  };
  const refusal = (thrown: unknown): ConnectError => {
    if (thrown instanceof BrokenCircuitError) {
      return errors.map(
        callErrors.targetUnavailable({
          message: `${target} fails at the moment and is left alone`,
          retryAfterMs: policy.openMs,
        }),
      ).error;
    }
    return thrown instanceof MuinError ? errors.map(thrown).error : ConnectError.from(thrown);
  };
  const begin = (method: DescMethod): CallSpan =>
    observer.begin({
      service: method.parent.typeName,
      method: method.name,
      protocol: "connect",
      traceparent: undefined,
    });
  /** How long to wait before the next attempt; `undefined` for no further one. */
  const pauseBefore = (method: DescMethod, attempt: number, error: ConnectError): number | undefined => {
    if (attempt >= policy.attemptsMax || !isRepeatable(method) || !failures.has(error)) return undefined;
    if (error.code !== Code.Unavailable) return undefined;
    const bound = Math.min(policy.pauseMs * 2 ** (attempt - 1), policy.pauseMsMax);
    return Math.max(bound * random.fraction(), retryDelayMs(error));
  };

  return {
    unary: async (method, signal, timeoutMs, header, input, contextValues) => {
      const budgetMs = budgetOf(timeoutMs ?? policy.timeoutMsDefault);
      const endMs = clock.monotonic() + budgetMs;
      const attemptOnce = async (whileWanted: AbortSignal) => {
        const hadMs = wholeMs(endMs - clock.monotonic());
        const span = begin(method);
        const headers = new Headers(header);
        if (span.traceparent !== undefined) headers.set("traceparent", span.traceparent);
        try {
          const response = await span.run(() =>
            race(transport.unary(method, whileWanted, hadMs, headers, input, contextValues), whileWanted),
          );
          span.end("ok");
          return response;
        } catch (thrown) {
          const error = judged(thrown, hadMs, whileWanted);
          span.end(codeToString(error.code));
          throw error;
        }
      };
      return withDeadline(clock, target, budgetMs, [signal, servedCall()?.signal], async (whileWanted) => {
        for (let attempt = 1; ; attempt++) {
          try {
            return await slots.run(() => breaker.execute(() => attemptOnce(whileWanted), whileWanted), whileWanted);
          } catch (thrown) {
            const error = refusal(thrown);
            const pauseMs = pauseBefore(method, attempt, error);
            if (pauseMs === undefined || clock.monotonic() + pauseMs >= endMs) throw error;
            retries.add(1, { target });
            await clock.sleep(pauseMs, whileWanted);
          }
        }
      });
    },

    stream: async (method, signal, timeoutMs, header, input, contextValues) => {
      const budgetMs = budgetOf(timeoutMs ?? Infinity);
      const namedMs = budgetMs === Infinity ? undefined : wholeMs(budgetMs);
      // A stream that a handler left, and told nobody, ends with the handler.
      const whileWanted = anyOf([signal, servedCall()?.ended]);
      const span = begin(method);
      const headers = new Headers(header);
      if (span.traceparent !== undefined) headers.set("traceparent", span.traceparent);
      try {
        const response = await breaker.execute(async () => {
          try {
            return await span.run(() => transport.stream(method, whileWanted, namedMs, headers, input, contextValues));
          } catch (thrown) {
            throw judged(thrown, 0, whileWanted);
          }
        });
        // A reader that leaves says so by its signal alone: a client's `break` reaches no transport.
        whileWanted.addEventListener("abort", () => span.end("canceled"), { once: true });
        return { ...response, message: observed(response.message, span) };
      } catch (thrown) {
        const error = refusal(thrown);
        span.end(codeToString(error.code));
        throw error;
      }
    },
  };
}

function isRepeatable(method: DescMethod): boolean {
  return (
    method.idempotency === MethodOptions_IdempotencyLevel.NO_SIDE_EFFECTS ||
    method.idempotency === MethodOptions_IdempotencyLevel.IDEMPOTENT
  );
}

/** A deadline travels in whole milliseconds, and 0 would mean none. */
function wholeMs(ms: number): number {
  return Math.max(1, Math.floor(ms));
}

function retryDelayMs(error: ConnectError): number {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return delay === undefined ? 0 : durationMs(delay);
}

function lateError(target: string): ConnectError {
  return new ConnectError(`${target} did not answer in time`, Code.DeadlineExceeded);
}

/** Runs `work` for at most `ms`, or until one of `signals` is aborted; its signal tells it. */
async function withDeadline<T>(
  clock: Clock,
  target: string,
  ms: number,
  signals: readonly (AbortSignal | undefined)[],
  work: (whileWanted: AbortSignal) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const done = new AbortController();
  clock.sleep(ms, done.signal).then(
    () => late.abort(lateError(target)),
    () => undefined, // The work ended first.
  );
  const whileWanted = anyOf([...signals, late.signal]);
  try {
    return await race(work(whileWanted), whileWanted);
  } finally {
    done.abort();
  }
}

/** Is aborted with the first of `signals`. */
function anyOf(signals: readonly (AbortSignal | undefined)[]): AbortSignal {
  return AbortSignal.any(signals.filter((signal) => signal !== undefined));
}

async function* observed<T>(messages: AsyncIterable<T>, span: CallSpan): AsyncIterable<T> {
  try {
    yield* messages;
    span.end("ok");
  } catch (thrown) {
    span.end(codeToString(ConnectError.from(thrown).code));
    throw thrown;
  }
}
