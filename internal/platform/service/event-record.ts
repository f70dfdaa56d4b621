import type { Component } from "../lifecycle/component.ts";

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

/** The right to act as the one holder of a lease. A later holder has a larger number. */
export interface Fence {
  readonly lease: string;
  readonly number: number;
}

/** Stores events for whoever consumes them. */
export interface EventPublisher {
  /**
   * Resolves once every record is stored durably. Records of one topic and subject keep their order. Rejects with
   * `FencedError` when `fence` is outdated; after any other rejection some records may be stored, and publishing all of them
   * again is right.
   */
  publish(records: readonly EventRecord[], fence?: Fence): Promise<void>;
}

/** Lets one process of all do what must not be done twice at a time. */
export interface Leases {
  /**
   * A component that runs `work` in at most one live holder at a time over all processes, and again in another when the holder
   * dies or is cut off. `work` must end soon after its signal is aborted; until it ends, `fence` protects.
   */
  leaseholder(lease: string, work: (fence: Fence, signal: AbortSignal) => Promise<void>): Component;
}
