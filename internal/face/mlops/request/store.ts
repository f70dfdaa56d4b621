import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A mutation that its caller may repeat. */
export interface RequestIdentity {
  readonly principal: string;
  /** The caller's idempotency key; empty for a request that is not remembered. */
  readonly requestId: string;
  /** SHA-256 of what it asks for. */
  readonly fingerprint: Uint8Array;
}

/** Replies to mutations by the idempotency key of their caller, so that a repeated one gets the first reply. */
export interface RequestStore {
  /** Waits until no other transaction works on the same request; none does until `tx` ends. */
  hold(tx: Transaction, request: RequestIdentity): Promise<void>;
  /**
   * The reply that a request got, in protobuf binary; `undefined` when it is not known, or its time is over; "reused" when it asked for something else; "erased" when
   * what it was about was erased.
   */
  recall(sql: Sql, request: RequestIdentity, nowMs: number): Promise<Uint8Array | "reused" | "erased" | undefined>;
  /** Remembers the reply to a request that was not known, about an enrolment, until a time. */
  remember(
    tx: Transaction,
    request: RequestIdentity,
    reply: { readonly enrolmentId: string; readonly response: Uint8Array; readonly expireTimeMs: number },
  ): Promise<void>;
  /** Forgets all replies about an enrolment: they tell of its person. That each request was made, and its enrolment erased, is known for as long as the reply would have been. */
  forgetEnrolment(tx: Transaction, enrolmentId: string): Promise<void>;
  /** Forgets all that a caller asked for. */
  forgetPrincipal(tx: Transaction, principal: string): Promise<void>;
  /** Forgets requests whose time is over. */
  forgetOld(sql: Sql, nowMs: number): Promise<void>;
}
