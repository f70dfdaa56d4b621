import type { Transaction } from "../../../platform/postgres/database.ts";

/** Names a request. */
export interface RequestIdentity {
  /** Who asks: a request_id is one caller's own. */
  readonly principal: string;
  /** Empty: the request is not remembered. */
  readonly requestId: string;
  /** SHA-256 of the operation and what it asks for. */
  readonly fingerprint: Uint8Array;
}

/** What is known of a request that came before. */
export interface RememberedRequest {
  readonly fingerprint: Uint8Array;
  readonly countId: string;
  /** Its reply in protobuf binary; `undefined` while its change is on its way. */
  readonly response: Uint8Array | undefined;
}

/** Mutations by caller and request_id, so that a repeated one gets the first reply. Only requests with an id are given to it. */
export interface RequestStore {
  /**
   * Enters a request, in place of one whose time is over. Returns what is known of it when it had been entered before; waits for
   * another transaction that enters the same.
   */
  enter(tx: Transaction, request: RequestIdentity, countId: string): Promise<RememberedRequest | undefined>;
  /** Keeps the reply, in protobuf binary, for the time that requests are remembered. */
  answer(
    tx: Transaction,
    request: Pick<RequestIdentity, "principal" | "requestId">,
    response: Uint8Array,
  ): Promise<void>;
  /** Forgets a request. */
  remove(tx: Transaction, request: Pick<RequestIdentity, "principal" | "requestId">): Promise<void>;
  /** Forgets at most `limit` answered requests whose time is over. Returns how many. */
  removeExpired(limit: number): Promise<number>;
}
