import type { Transaction } from "../../../platform/postgres/database.ts";
import { signInLocked } from "../errors.ts";
import type { Vault } from "../secret/vault.ts";

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

/** The first lock, and the longest: each further failure doubles it. */
const lockMsMin = 30_000;
const lockMsMax = 15 * minuteMs;

/**
 * What failures are counted for. One account from one network is held tightest. A network is held as a whole, so that one
 * cannot try a password on many accounts. An account over all networks is held against many attackers; this lock does not bind
 * where the person has signed in before, so that strangers cannot lock them out of their own places, and one stranger alone
 * does not reach it.
 */
export const lockoutPolicies = {
  pair: { freeMax: 10, windowMs: hourMs, sliding: true },
  network: { freeMax: 100, windowMs: hourMs, sliding: true },
  account: { freeMax: 50, windowMs: hourMs, sliding: false },
} as const satisfies Record<string, LockoutPolicy>;

/** A network is familiar to a person for so long after their last sign-in from it. */
export const familiarMs: number = 90 * dayMs;
/** Networks remembered for a person; the longest unused is forgotten first. */
const familiarMax = 32;

/** Failures counted for one subject. */
export interface FailureCount {
  readonly failures: number;
  readonly windowEndMs: number;
  /** 0 without a lock. */
  readonly lockEndMs: number;
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
  const known = count !== undefined && (nowMs < count.windowEndMs || nowMs < count.lockEndMs) ? count : undefined;
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

type FailureKind = keyof typeof lockoutPolicies;

interface ChargedCount {
  readonly kind: FailureKind;
  readonly hash: Uint8Array;
  readonly count: FailureCount;
}

/** An attempt that was counted as failed; `forgiveAttempt` takes it back when it succeeded. */
export interface Charge {
  readonly charged: readonly ChargedCount[];
  /** True when this attempt, should it fail, begins a lock. */
  readonly locks: boolean;
}

/** Who attempts. */
export interface Attempt {
  /** Normalised; empty for an attempt that is aimed at no account. */
  readonly email: string;
  /** As `networkOf` gives it; empty for a call inside the process. */
  readonly network: string;
}

/** Counts an attempt, or throws `signInLocked` and counts nothing. The same for addresses that have no account. */
export async function chargeAttempt(tx: Transaction, vault: Vault, attempt: Attempt, nowMs: number): Promise<Charge> {
  const { email, network } = attempt;
  const subjects: [FailureKind, string][] = [];
  if (email !== "" && network !== "") subjects.push(["pair", `${network} ${email}`]);
  if (network !== "") subjects.push(["network", network]);
  if (email !== "" && !(await isFamiliar(tx, vault, attempt, nowMs))) subjects.push(["account", email]);
  const hashed = subjects
    .map(([kind, subject]) => ({ kind, hash: vault.mac("failures", `${kind} ${subject}`) }))
    .toSorted((a, b) => Buffer.compare(a.hash, b.hash)); // All take the rows' locks in one order.

  const charged: ChargedCount[] = [];
  for (const { kind, hash } of hashed) {
    const outcome = chargeFailure(await lockFailures(tx, hash), lockoutPolicies[kind], nowMs);
    if ("retryAfterMs" in outcome) throw signInLocked(outcome.retryAfterMs);
    charged.push({ kind, hash, count: outcome });
    await tx`
      UPDATE sign_in_failures SET failures = ${outcome.failures}, window_end_time = ${new Date(outcome.windowEndMs)},
        lock_end_time = ${timeOrNull(outcome.lockEndMs)}
      WHERE subject_hash = ${hash}`;
  }
  return { charged, locks: charged.some(({ count }) => count.lockEndMs > 0) };
}

/**
 * Takes a charge back after success. After "whole" success the account's failures from this network are forgotten; of the network and
 * of the account over all networks just this one, so that who owns one account cannot clear the way to others. After success in
 * a "step", with a code still to come, nothing but this one is: who knows the password does not get codes to guess without end.
 */
export async function forgiveAttempt(tx: Transaction, charge: Charge, success: "whole" | "step"): Promise<void> {
  for (const { kind, hash, count } of charge.charged) {
    if (kind === "pair" && success === "whole") {
      await tx`DELETE FROM sign_in_failures WHERE subject_hash = ${hash}`;
    } else {
      await tx`
        UPDATE sign_in_failures SET failures = greatest(failures - 1, 0),
          lock_end_time = nullif(lock_end_time, ${timeOrNull(count.lockEndMs)}::timestamptz)
        WHERE subject_hash = ${hash}`;
    }
  }
}

/** Remembers the network from which a person has signed in. */
export async function rememberNetwork(
  tx: Transaction,
  vault: Vault,
  userId: string,
  network: string,
  nowMs: number,
): Promise<void> {
  if (network === "") return;
  await tx`
    INSERT INTO familiar_networks (user_id, network_hash, use_time)
    VALUES (${userId}, ${vault.mac("network", network)}, ${new Date(nowMs)})
    ON CONFLICT (user_id, network_hash) DO UPDATE SET use_time = excluded.use_time`;
  await tx`
    DELETE FROM familiar_networks WHERE user_id = ${userId} AND network_hash NOT IN
      (SELECT network_hash FROM familiar_networks WHERE user_id = ${userId} ORDER BY use_time DESC LIMIT ${familiarMax})`;
}

async function isFamiliar(tx: Transaction, vault: Vault, attempt: Attempt, nowMs: number): Promise<boolean> {
  const rows = await tx`
    SELECT 1 FROM familiar_networks JOIN accounts USING (user_id)
    WHERE email = ${attempt.email} AND network_hash = ${vault.mac("network", attempt.network)}
      AND use_time > ${new Date(nowMs - familiarMs)}`;
  return rows.length > 0;
}

/** The count of a subject, its row locked; the row is made when it is missing. */
async function lockFailures(tx: Transaction, hash: Uint8Array): Promise<FailureCount | undefined> {
  const [row] = await tx<{ failures: number; window_end_time: Date; lock_end_time: Date | null }[]>`
    INSERT INTO sign_in_failures AS f (subject_hash, failures, window_end_time) VALUES (${hash}, 0, ${new Date(0)})
    ON CONFLICT (subject_hash) DO UPDATE SET failures = f.failures
    RETURNING failures, window_end_time, lock_end_time`;
  return (
    row && {
      failures: row.failures,
      windowEndMs: row.window_end_time.getTime(),
      lockEndMs: row.lock_end_time?.getTime() ?? 0,
    }
  );
}

function timeOrNull(ms: number): Date | null {
  return ms === 0 ? null : new Date(ms);
}
