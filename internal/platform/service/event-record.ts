import type { LeaseTerm } from "../lease/leases.ts";

/** An event as it travels: CloudEvents 1.0 attributes and the message in protobuf binary. */
export interface EventRecord {
  /** CloudEvents id: two records of one id are the same event. */
  readonly id: string;
  /** CloudEvents source, such as "/muin/count-write". */
  readonly source: string;
  /** CloudEvents type: full name of the protobuf message. */
  readonly type: string;
  /** CloudEvents subject: the aggregate's id and the ordering key. */
  readonly subject: string;
  /** Topic it travels on. */
  readonly topic: string;
  /** CloudEvents time: milliseconds since the Unix epoch. */
  readonly timeMs: number;
  /** W3C trace context of the change that made it; empty without one. */
  readonly traceparent: string;
  /** The message. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/** Stores events for whoever consumes them. */
export interface EventPublisher {
  /**
   * Resolves once every event record is stored durably. Those of one topic and subject keep their order. Rejects with `FencedError`
   * when `term` is over; after any other rejection some event records may be stored, and publishing all of them again is right.
   */
  publish(records: readonly EventRecord[], term?: LeaseTerm): Promise<void>;
}
