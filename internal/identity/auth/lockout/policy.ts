const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** How failures of one kind are answered. */
export interface LockoutPolicy {
  /** Failures within the window that cost nothing. */
  readonly freeMax: number;
  readonly windowMs: number;
  /** Whether each failure begins the window anew. */
  readonly sliding: boolean;
}

/** The clocks of two processes may differ by so much: what lies no further ahead than that beyond the longest is none that was put back. */
const clockMarginMs = minuteMs;

/** The first lock, and the longest: each further failure doubles it. */
const lockMsMin = 30_000;
const lockMsMax = 15 * minuteMs;

/**
 * What failures are counted for. One account from one network is held tightest. A network is held as a whole, so that one
 * cannot try a password on many accounts. An account over all networks is held against many attackers; this lock does not bind
 * where the person has signed in lately, so that strangers cannot lock them out of their own places, and one stranger alone
 * does not reach it. There they have tries of their own too, which come before all these: neither what others of the network have
 * spent nor what strangers spend elsewhere takes them away.
 */
export const lockoutPolicies = {
  pair: { freeMax: 10, windowMs: hourMs, sliding: true },
  network: { freeMax: 100, windowMs: hourMs, sliding: true },
  account: { freeMax: 50, windowMs: hourMs, sliding: false },
} as const satisfies Record<string, LockoutPolicy>;

/** A network is familiar to a person for so long after their last sign-in from it. */
export const familiarMs: number = 30 * dayMs;

/** What a person may try on a familiar network whatever locks hold there or elsewhere, in an hour from the first failure on. */
const ownTries = { max: 5, windowMs: hourMs } as const;

/** Failures counted for one subject. Times in milliseconds since 1970. */
export interface FailureCount {
  readonly failures: number;
  /** Failures are forgotten from here on. */
  readonly windowEndMs: number;
  /** 0 without a lock. */
  readonly lockEndMs: number;
}

/**
 * Counts one of a person's own tries as failed before it is made; `undefined`, and nothing is counted, when they are used up. A window
 * that ends later than any can was begun by a clock that was put back since.
 */
export function chargeOwnTry(count: FailureCount, nowMs: number): FailureCount | undefined {
  if (nowMs >= count.windowEndMs || count.windowEndMs > nowMs + ownTries.windowMs + clockMarginMs)
    return { failures: 1, windowEndMs: nowMs + ownTries.windowMs, lockEndMs: 0 };
  return count.failures < ownTries.max ? { ...count, failures: count.failures + 1 } : undefined;
}

/** Whether failures still count. What lies further ahead than it ever can was counted by a clock that was put back since. */
function isCounted({ windowEndMs, lockEndMs }: FailureCount, { windowMs }: LockoutPolicy, nowMs: number): boolean {
  const latestMs = nowMs + clockMarginMs;
  if (windowEndMs > latestMs + windowMs || lockEndMs > latestMs + lockMsMax) return false;
  return nowMs < windowEndMs || nowMs < lockEndMs;
}

/**
 * Counts one attempt as failed before it is made, so that many at once are no more than many in a row. Refuses while a lock
 * holds; a refused attempt changes nothing, so that trying on does not make a lock longer.
 */
export function chargeFailure(
  count: FailureCount | undefined,
  policy: LockoutPolicy,
  nowMs: number,
): FailureCount | { readonly retryAfterMs: number } {
  const known = count !== undefined && isCounted(count, policy, nowMs) ? count : undefined;
  if (known !== undefined && nowMs < known.lockEndMs) return { retryAfterMs: known.lockEndMs - nowMs };
  const failures = (known?.failures ?? 0) + 1;
  const over = failures - policy.freeMax;
  const lockMs = over < 0 ? 0 : Math.min(lockMsMax, lockMsMin * 2 ** Math.min(over, 16));
  return {
    failures,
    windowEndMs: policy.sliding ? nowMs + policy.windowMs : (known?.windowEndMs ?? nowMs + policy.windowMs),
    lockEndMs: lockMs === 0 ? 0 : nowMs + lockMs,
  };
}
