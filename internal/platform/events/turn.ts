import { Code, ConnectError } from "@connectrpc/connect";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";
import { retry } from "../lifecycle/retry.ts";

/** Pause before another attempt, in milliseconds: doubled with each further one. */
export const turnBackoff = { minMs: 50, maxMs: 2000 };

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

/**
 * Does `work` until what it needs is there, and returns what it returns. Rejects with its error when that says something else than
 * that something is away, and with `TurnOverError` or the signal's reason when the turn is over.
 */
export function retryInTurn<T>(
  work: () => Promise<T>,
  turn: Turn,
  { clock, random }: { readonly clock: Clock; readonly random: Random },
): Promise<T> {
  const attempt = async (): Promise<T> => {
    if (!turn.isValid()) throw new TurnOverError();
    return work();
  };
  return retry(attempt, { clock, random, ...turnBackoff, isRetryable: isAway, signal: turn.signal });
}

/** True for a failure that says nothing about the work: something that it needs is away. */
export function isAway(error: unknown): boolean {
  if (error instanceof ConnectError) return error.code === Code.Unavailable;
  return error instanceof MuinError && error.code === "unavailable";
}
