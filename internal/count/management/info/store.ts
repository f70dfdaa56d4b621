import type { MuinError } from "../../../platform/errors/muin-error.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import type { CountContent, CountRecord, CountStateName, Mutation, Operation } from "./plan.ts";

/** A change on its way: accepted in CountInfoDB, to be decided by the counts store, then made known. */
export interface CountChange {
  readonly countId: string;
  /** Number of this change of this Count, never given twice. */
  readonly infoRevision: number;
  readonly operation: Operation;
  /** The content once the change is made. */
  readonly content: CountContent;
  /** 0 unless the operation is CREATE. */
  readonly initialValue: bigint;
  readonly createTimeMs: number;
  readonly startTimeMs: number;
}

/** Names a request for the memory of requests. */
export interface RequestIdentity {
  readonly principal: string;
  /** Empty: the request is not remembered. */
  readonly requestId: string;
  /** SHA-256 of the operation and what it asks for. */
  readonly fingerprint: Uint8Array;
}

/** What came of accepting a mutation. */
export type Acceptance =
  /** It is on its way. */
  | { readonly kind: "accepted"; readonly change: CountChange }
  /** An earlier change of the Count has to be finished first; the mutation was not accepted. */
  | { readonly kind: "busy"; readonly change: CountChange }
  /** The same request was answered before, with this reply in protobuf binary. */
  | { readonly kind: "replayed"; readonly response: Uint8Array }
  /** The same request was accepted before, and its change is still on its way. */
  | { readonly kind: "resumed"; readonly change: CountChange }
  | { readonly kind: "refused"; readonly error: MuinError };

/** Which Counts to list. */
export interface CountQuery {
  readonly prefix: string;
  /** Labels that a Count must have, all of them. */
  readonly labels: readonly (readonly [key: string, value: string])[];
  readonly state: CountStateName;
}

/** CountInfoDB. */
export interface CountInfoStore {
  /** The Count, whatever its state. */
  get(countId: string): Promise<CountRecord | undefined>;
  /** Counts after the id `after` (empty: from the first), in the order of their ids, never PENDING ones. */
  list(query: CountQuery, after: string, limit: number): Promise<readonly CountRecord[]>;
  /** Decides a mutation on the locked Count and, when it is allowed, records the change. One transaction. */
  accept(mutation: Mutation, request: RequestIdentity): Promise<Acceptance>;
  /**
   * Makes a Count that was created ACTIVE, as `record`, with what `announce` records, in one transaction; its change stays on its
   * way. Does nothing when that had been done before.
   */
  announceCreation(
    change: CountChange,
    record: CountRecord,
    announce: (tx: Transaction) => Promise<void>,
  ): Promise<void>;
  /**
   * Ends a decided change, in one transaction: the Count as `record` and what `announce` records, unless that was done before,
   * and the reply to its request in protobuf binary. Returns false when it had been ended before.
   */
  complete(
    change: CountChange,
    record: CountRecord,
    announce: (tx: Transaction) => Promise<void>,
    response: Uint8Array,
  ): Promise<boolean>;
  /** Forgets a change that the counts store refused, and its request. */
  withdraw(change: CountChange): Promise<void>;
  /** Takes up changes that nobody has taken up for `ageMs`: no other caller gets them for as long. */
  claim(ageMs: number, limit: number): Promise<readonly CountChange[]>;
  /** Forgets at most `limit` requests whose time is over. Returns how many. */
  forgetRequests(limit: number): Promise<number>;
  /** Calls `announce` for each settled Count after the id `after`, locked, at most `limit`; returns the last id, or "". */
  republish(
    after: string,
    limit: number,
    announce: (tx: Transaction, record: CountRecord) => Promise<void>,
  ): Promise<{ readonly last: string; readonly announced: number }>;
}
