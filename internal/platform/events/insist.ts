import { Code, ConnectError } from "@connectrpc/connect";
import { backoffMs } from "../clock/backoff.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";

/** Pause before another attempt, doubled with each further one. */
const retryBackoff = { minMs: 50, maxMs: 2000 };

/** The time in which a consumer may act: while it runs and, in a group, holds its partition. */
export interface Turn {
  /** Aborted when it is over. */
  readonly signal: AbortSignal;
  /** False, with `signal` aborted, once it is over; true says so at this very moment. */
  isValid(): boolean;
}

/** Thrown where a consumer's turn is over: what is under way ends, and nothing of it counts. */
export class TurnOverError extends Error {
  override readonly name = "TurnOverError";
}

interface RetryDeps {
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Does `work` again and again until what it needs is there, and returns what it returns. Rejects with its error when that is another
 * one, and with `TurnOverError` or the signal's reason when the turn is over.
 */
export async function insist<T>(work: () => Promise<T>, turn: Turn, deps: RetryDeps): Promise<T> {
  for (let failures = 1; ; failures++) {
    if (!turn.isValid()) throw new TurnOverError();
    try {
      return await work();
    } catch (error) {
      if (!isAway(error)) throw error;
      await pause(failures, turn.signal, deps);
    }
  }
}

/** True for a failure that says nothing about the work: something that it needs is away. */
export function isAway(error: unknown): boolean {
  if (error instanceof ConnectError) return error.code === Code.Unavailable;
  return error instanceof MuinError && error.code === "unavailable";
}

/** Waits after so many failures in a row, 1 or more; rejects with the signal's reason when it is aborted. */
export function pause(failures: number, signal: AbortSignal, { clock, random }: RetryDeps): Promise<void> {
  return clock.sleep(backoffMs(retryBackoff, failures, random), signal);
}
