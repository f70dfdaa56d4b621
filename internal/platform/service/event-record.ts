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
  /** Epoch of the store that it comes from, compared before the version that it tells of: 0 until a restore raises it. */
  readonly epoch: number;
  /** W3C trace context of the change that made it; empty without one. */
  readonly traceparent: string;
  /** The message. */
  readonly data: Uint8Array<ArrayBuffer>;
}

/**
 * That an event record is refused for itself, such as one of an unknown topic or one that is too large: it is refused however often it
 * comes, while others are taken. Its message is for operators.
 */
export class EventRefusedError extends Error {
  override readonly name = "EventRefusedError";
}

/** Stores events for whoever consumes them. */
export interface EventPublisher {
  /**
   * Resolves once every event record is stored durably. Those of one topic and subject keep their order. Rejects with `FencedError`
   * when `term` is over, and with `EventRefusedError` when one of the event records is refused for itself: published one by one, the
   * others are taken. After any other rejection publishing all of them again is right. After each some event records may be stored.
   */
  publish(records: readonly EventRecord[], term?: LeaseTerm): Promise<void>;
}
