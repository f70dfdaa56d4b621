import type { Sql, Transaction } from "../../../platform/postgres/database.ts";

/** A mutation that its caller may repeat. */
export interface RequestIdentity {
  readonly principal: string;
  /** The caller's idempotency key, not empty. */
  readonly requestId: string;
  /** SHA-256 of what it asks for. */
  readonly fingerprint: Uint8Array;
}

/** Replies to mutations by the idempotency key of their caller, so that a repeated one gets the first reply. */
export interface RequestStore {
  /**
   * The reply that a request got, in protobuf binary; `undefined` when it is not known, or its time is over; "reused" when it asked for something else. Who repeats a request
   * under way waits for its transaction.
   */
  recall(tx: Transaction, request: RequestIdentity, nowMs: number): Promise<Uint8Array | "reused" | undefined>;
  /** Remembers the reply to a request that was not known, until a time. */
  remember(tx: Transaction, request: RequestIdentity, reply: Uint8Array, expireTimeMs: number): Promise<void>;
  /** Forgets all that a caller asked for. */
  forgetPrincipal(tx: Transaction, principal: string): Promise<void>;
  /** Forgets requests whose time is over. */
  forgetOld(sql: Sql, nowMs: number): Promise<void>;
}
