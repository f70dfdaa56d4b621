import type { Component } from "../lifecycle/component.ts";

/** The time in which one process holds a lease. Each holder's term has a larger number than those before it. */
export interface LeaseTerm {
  readonly lease: string;
  readonly number: number;
}

/** What was asked for in a term that is over: a later one has begun. Nothing was done; stop at once. */
export class FencedError extends Error {
  override readonly name = "FencedError";

  constructor({ lease, number }: LeaseTerm) {
    super(`term ${number} of lease ${lease} is over`);
  }
}

/**
 * Lets one process of all do what must not be done twice at a time. A process that was paused may believe for a while in a lease
 * that another holds by now: what must not happen twice therefore carries its term, and is fenced where the term is an old one.
 */
export interface Leases {
  /**
   * A component that runs `work` in at most one live holder at a time over all processes: again in another process within two
   * seconds when the holder dies or is cut off, and again after half a second when `work` settles by itself. The signal is aborted
   * when the lease was lost and when the component stops; `work` must end soon after it. A rejection is logged.
   */
  leaseholder(lease: string, work: (term: LeaseTerm, signal: AbortSignal) => Promise<void>): Component;
  /**
   * Resolves when no later term than this one has begun, which may change at any moment after. Rejects with `FencedError` when one
   * has, and with STORE_UNAVAILABLE when it cannot be known.
   */
  verify(term: LeaseTerm): Promise<void>;
}

/** Leases of a process. `start` does not wait for a server that is away; leaseholders must have stopped before it stops. */
export interface OpenLeases extends Leases, Component {}
