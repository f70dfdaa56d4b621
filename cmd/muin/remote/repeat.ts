import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../../../internal/platform/clock/clock.ts";
import type { Random } from "../../../internal/platform/clock/random.ts";
import { retry } from "../../../internal/platform/lifecycle/retry.ts";
import { RetryInfoSchema } from "../../../internal/gen/google/rpc/error_details_pb.ts";
import { ConnectionRefused } from "./connection.ts";

/** How long and how eagerly a call is repeated. */
export interface RepeatOptions {
  /** No attempt begins later than this after the first, in milliseconds. Default: 10 seconds. */
  readonly withinMs?: number;
  /** Repeat even when the very first connection was refused: nobody can tell whether Muin will come. Default: no. */
  readonly patient?: boolean;
  /** Called before each pause. */
  readonly onPause?: (error: unknown) => void;
}

/** Repeats a call that is safe to repeat while Muin is away, overloaded or late, within a bound. Rejects with the last error. */
export type Repeat = <T>(call: () => Promise<T>, options?: RepeatOptions) => Promise<T>;

/** The pauses between two attempts, in milliseconds. */
const backoff = { minMs: 50, maxMs: 2000 };
const withinMsDefault = 10_000;

/** Creates a `Repeat` whose pauses end when the signal is aborted: it then rejects with the signal's reason. */
export function createRepeat(options: {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
}): Repeat {
  return (call, { withinMs = withinMsDefault, patient = false, onPause } = {}) => {
    let wasThere = patient;
    return retry(call, {
      ...options,
      ...backoff,
      withinMs,
      isRetryable: (error) => {
        if (options.signal.aborted || !(error instanceof ConnectError) || !isPassing(error)) return false;
        wasThere ||= !(error.cause instanceof ConnectionRefused);
        return wasThere;
      },
      ...(onPause === undefined ? {} : { onPause }),
    });
  };
}

function isPassing(error: ConnectError): boolean {
  // What is exhausted and does not say when to come back will not come back by itself.
  if (error.code === Code.ResourceExhausted) return error.findDetails(RetryInfoSchema).length > 0;
  return error.code === Code.Unavailable || error.code === Code.DeadlineExceeded;
}
