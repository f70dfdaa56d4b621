/** How calls to one target are guarded. Times in milliseconds. */
export interface CallPolicy {
  /** Deadline of a call that names none. Default 5000. */
  readonly timeoutMsDefault: number;
  /** Taken off the deadline of the call that is served meanwhile: what is needed to answer it in time. Default 20. */
  readonly timeoutMarginMs: number;
  /** Attempts at a call that is safe to repeat, the first included. Default 3. */
  readonly attemptsMax: number;
  /** Longest pause before the second attempt; doubles with each, and is shortened by chance. Default 50. */
  readonly pauseMs: number;
  /** Longest pause before any attempt. Default 1000. */
  readonly pauseMsMax: number;
  /** Calls at once. Default 256. */
  readonly concurrentMax: number;
  /** Calls that wait for their turn. Default 256. */
  readonly queueMax: number;
  /** Failures in a row after which the circuit breaker opens: the target is left alone. Default 5. */
  readonly failuresMax: number;
  /** How long it is left alone before one call tries again. Default 1000. */
  readonly openMs: number;
  /** A call that had at least this long and was late counts as a failure; of a shorter one the caller asked too much. Default 1000. */
  readonly slowMs: number;
}

/** The policy when nothing else is asked for. */
export const defaultCallPolicy: CallPolicy = {
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
