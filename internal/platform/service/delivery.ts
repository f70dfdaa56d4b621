import type { DescMessage, MessageInitShape } from "@bufbuild/protobuf";
import type { Database, Transaction } from "../postgres/database.ts";
import type { EventRecord } from "./event-record.ts";

/** Records events in a transaction; a relay publishes them after the commit, in order per subject. */
export interface Publish<P extends readonly DescMessage[]> {
  /** Records an event. */
  <D extends P[number]>(tx: Transaction, schema: D, message: MessageInitShape<D>): Promise<void>;
  /** Makes an event as part of the call under way, to be recorded among others. */
  make<D extends P[number]>(schema: D, message: MessageInitShape<D>): EventRecord;
  /** Records events that were made, in their order, in one round trip. */
  record(tx: Transaction, events: readonly EventRecord[]): Promise<void>;
}

/** What the handler of an event gets beside the event. */
export interface Delivery {
  /** The event as it travelled. */
  readonly record: EventRecord;
  /** 1 for the first attempt. */
  readonly attempt: number;
  /** Aborted when the consumer stops or loses its partition. */
  readonly signal: AbortSignal;
  /**
   * Runs `effect` in a transaction of `database` together with an inbox row, so that it happens once however often the event
   * comes. Returns false when it had happened before. An effect that compares versions, and so does nothing the second time, needs no row:
   * run it in a transaction of its own.
   */
  once(database: Database, effect: (tx: Transaction) => Promise<void>): Promise<boolean>;
}

/** What the handler of several events gets beside them. */
export interface ManyDelivery<E extends object = object> {
  /** Aborted when the consumer stops or loses its partition. */
  readonly signal: AbortSignal;
  /** The epoch of one of the events, as its record has it. */
  epochOf(event: E): number;
}
