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

/** Names a remembered request. */
export type RequestName = Pick<RequestIdentity, "principal" | "requestId">;

/**
 * Mutations by caller and request_id, so that a repeated one gets the first reply. Only requests with an id are given to it, those of one
 * call each once. Their rows are locked in the order of their names, so that two who want the same do not wait for each other.
 */
export interface RequestStore {
  /**
   * Enters requests, in place of those whose time is over. Tells for each, in their order, what is known of it when it had been entered
   * before; waits for another transaction that enters the same.
   */
  enter(
    tx: Transaction,
    requests: readonly { readonly request: RequestIdentity; readonly countId: string }[],
  ): Promise<readonly (RememberedRequest | undefined)[]>;
  /** Keeps replies, in protobuf binary, for the time that requests are remembered. */
  answer(
    tx: Transaction,
    answers: readonly { readonly request: RequestName; readonly response: Uint8Array }[],
  ): Promise<void>;
  /** Forgets requests. */
  remove(tx: Transaction, requests: readonly RequestName[]): Promise<void>;
  /** Forgets at most `limit` answered requests whose time is over. Returns how many. */
  removeExpired(limit: number): Promise<number>;
}
