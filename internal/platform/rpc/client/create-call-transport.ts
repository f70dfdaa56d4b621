import type { DescMethod } from "@bufbuild/protobuf";
import { durationMs, MethodOptions_IdempotencyLevel } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Clock } from "../../clock/clock.ts";
import type { Random } from "../../clock/random.ts";
import { retry } from "../../lifecycle/retry.ts";
import { timeout } from "../../lifecycle/timeout.ts";
import type { CallObserver, CallSpan } from "../../telemetry/call-observer.ts";
import type { Metrics } from "../../telemetry/metrics.ts";
import { race } from "../call/race.ts";
import { servedCall } from "../call/served-call.ts";
import { defaultCallPolicy, type CallPolicy } from "./call-policy.ts";
import { createTargetGuard, type TargetGuard } from "./create-target-guard.ts";

/** A target, the transport that reaches it, and how calls to it are guarded. */
export interface CallTransportOptions {
  /** What is called, for errors and metrics. */
  readonly target: string;
  readonly transport: Transport;
  readonly observer: CallObserver;
  readonly clock: Clock;
  readonly random: Random;
  readonly metrics: Metrics;
  /** What differs from `defaultCallPolicy`. */
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
  const { target, metrics } = options;
  const policy: CallPolicy = { ...defaultCallPolicy, ...options.policy };
  const guard = createTargetGuard(target, policy, metrics);
  const retries = metrics.counter({
    name: "rpc_client_retries_total",
    help: "Calls that were tried again, by target.",
    labels: ["target"],
  });
  return {
    unary: createUnary(options, policy, guard, () => retries.add(1, { target })),
    stream: createStream(options, policy, guard),
  };
}

function createUnary(
  { transport, observer, clock, random }: CallTransportOptions,
  policy: CallPolicy,
  guard: TargetGuard,
  onRetry: () => void,
): Transport["unary"] {
  return async (method, signal, timeoutMs, header, input, contextValues) => {
    const budgetMs = budgetOf(timeoutMs ?? policy.timeoutMsDefault, policy, guard);
    const endMs = clock.monotonic() + budgetMs;
    const attemptOnce = async (whileWanted: AbortSignal) => {
      const hadMs = wholeMs(endMs - clock.monotonic());
      const { span, headers } = begin(observer, method, header);
      try {
        const response = await span.run(() =>
          race(transport.unary(method, whileWanted, hadMs, headers, input, contextValues), whileWanted),
        );
        span.end("ok");
        return response;
      } catch (thrown) {
        const error = guard.judge(thrown, hadMs, whileWanted);
        span.end(codeToString(error.code));
        throw error;
      }
    };
    const attempt = async (whileWanted: AbortSignal) => {
      try {
        return await guard.queued(() => attemptOnce(whileWanted), whileWanted);
      } catch (thrown) {
        throw guard.explain(thrown);
      }
    };
    return withDeadline(clock, budgetMs, [signal, servedCall()?.signal], guard, (whileWanted) =>
      retry(() => attempt(whileWanted), {
        clock,
        random,
        minMs: policy.pauseMs,
        maxMs: policy.pauseMsMax,
        attemptsMax: isRepeatable(method) ? policy.attemptsMax : 1,
        withinMs: budgetMs,
        signal: whileWanted,
        isRetryable: (error) =>
          error instanceof ConnectError && error.code === Code.Unavailable && guard.isFailure(error),
        pauseMsAfter: (error) => retryDelayMs(error as ConnectError),
        onPause: onRetry,
      }),
    );
  };
}

function createStream(
  { transport, observer }: CallTransportOptions,
  policy: CallPolicy,
  guard: TargetGuard,
): Transport["stream"] {
  return async (method, signal, timeoutMs, header, input, contextValues) => {
    const budgetMs = budgetOf(timeoutMs ?? Infinity, policy, guard);
    const namedMs = budgetMs === Infinity ? undefined : wholeMs(budgetMs);
    // A stream that a handler left, and told nobody, ends with the handler.
    const whileWanted = anyOf([signal, servedCall()?.ended]);
    const { span, headers } = begin(observer, method, header);
    try {
      const response = await guard.direct(async () => {
        try {
          return await span.run(() => transport.stream(method, whileWanted, namedMs, headers, input, contextValues));
        } catch (thrown) {
          throw guard.judge(thrown, 0, whileWanted);
        }
      });
      // A reader that leaves says so by its signal alone: a client's `break` reaches no transport.
      whileWanted.addEventListener("abort", () => span.end("canceled"), { once: true });
      return { ...response, message: observed(response.message, span) };
    } catch (thrown) {
      const error = guard.explain(thrown);
      span.end(codeToString(error.code));
      throw error;
    }
  };
}

/** Milliseconds that a call may take: those it names, or what is left of the call that is served meanwhile. */
function budgetOf(timeoutMs: number, policy: CallPolicy, guard: TargetGuard): number {
  const leftMs = servedCall()?.timeoutMs() ?? Infinity;
  const budgetMs = Math.min(timeoutMs, leftMs - policy.timeoutMarginMs);
  if (budgetMs <= 0) throw guard.late();
  return budgetMs;
}

/** A span for an attempt, and the headers that carry its trace. */
function begin(
  observer: CallObserver,
  method: DescMethod,
  header: HeadersInit | undefined,
): { readonly span: CallSpan; readonly headers: Headers } {
  const span = observer.begin({
    service: method.parent.typeName,
    method: method.name,
    protocol: "connect",
    traceparent: undefined,
  });
  const headers = new Headers(header);
  if (span.traceparent !== undefined) headers.set("traceparent", span.traceparent);
  return { span, headers };
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

/** Runs `work` for at most `ms`, or until one of `signals` is aborted; its signal tells it. */
async function withDeadline<T>(
  clock: Clock,
  ms: number,
  signals: readonly (AbortSignal | undefined)[],
  guard: TargetGuard,
  work: (whileWanted: AbortSignal) => Promise<T>,
): Promise<T> {
  let late: AbortSignal | undefined;
  try {
    return await timeout(clock, ms, (signal) => {
      late = signal;
      const whileWanted = anyOf([...signals, signal]);
      return race(work(whileWanted), whileWanted);
    });
  } catch (error) {
    throw late?.aborted === true ? guard.late() : error;
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
