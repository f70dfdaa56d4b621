import { Code, ConnectError } from "@connectrpc/connect";
import { backoffMs } from "../../internal/platform/clock/backoff.ts";
import type { Clock } from "../../internal/platform/clock/clock.ts";
import type { Random } from "../../internal/platform/clock/random.ts";
import { RetryInfoSchema } from "../../internal/gen/google/rpc/error_details_pb.ts";
import { ConnectionRefused } from "./remote/connection.ts";

/** How a call is repeated. */
export interface RetryOptions {
  readonly clock: Clock;
  readonly random: Random;
  readonly signal: AbortSignal;
  /** No attempt begins later than this after the first, in milliseconds. */
  readonly boundMs: number;
  /** Repeat even when the very first connection was refused: nobody can tell whether Muin will come. */
  readonly patient: boolean;
  /** Called before each pause. */
  readonly onPause?: (error: ConnectError) => void;
}

const retryBackoff = { minMs: 50, maxMs: 2000 };

/** Repeats a call that is safe to repeat while Muin is away, overloaded or late, within a bound. Throws the last error. */
export async function retry<T>(call: () => Promise<T>, options: RetryOptions): Promise<T> {
  const start = options.clock.monotonic();
  for (let attempt = 0; ; attempt++) {
    try {
      return await call();
    } catch (error) {
      if (!(error instanceof ConnectError) || !isPassing(error) || options.signal.aborted) throw error;
      if (attempt === 0 && !options.patient && error.cause instanceof ConnectionRefused) throw error;
      const pause = backoffMs(retryBackoff, attempt + 1, options.random);
      if (options.clock.monotonic() - start + pause > options.boundMs) throw error;
      options.onPause?.(error);
      await options.clock.sleep(pause, options.signal).catch(() => undefined); // Interrupted: one last attempt tells.
    }
  }
}

function isPassing(error: ConnectError): boolean {
  // What is exhausted and does not say when to come back will not come back by itself.
  if (error.code === Code.ResourceExhausted) return error.findDetails(RetryInfoSchema).length > 0;
  return error.code === Code.Unavailable || error.code === Code.DeadlineExceeded;
}
