import type { EventRecord } from "./event-record.ts";

/** How an outbox is. */
export interface OutboxState {
  /** Events recorded and neither on the bus nor parked. */
  readonly depth: number;
  /** Age of the oldest of them in milliseconds; 0 when there is none. */
  readonly ageMs: number;
  /** Events that are parked. */
  readonly parked: number;
}

/** An event that the bus refused for itself, or that waits behind one of its topic and subject. */
export interface ParkedEvent extends Pick<EventRecord, "id" | "type" | "topic" | "subject"> {
  /** Its place in the outbox. Opaque; `parked` lists by it. */
  readonly place: string;
  /** Why the bus refused it the last time; empty for an event that it never refused. */
  readonly reason: string;
  /** How often the bus refused it; 0 for an event that waits behind another. */
  readonly attempts: number;
  readonly parkTimeMs: number;
}

/** What operators see of an outbox, and do about it. */
export interface OutboxView {
  read(): Promise<OutboxState>;
  /** At most `limit` parked events in the order in which they were recorded, from after a place; "" for the first. */
  parked(after: string, limit: number): Promise<readonly ParkedEvent[]>;
  /**
   * Gives the parked events of one subject, or all when it is undefined, back to be published, in order and before later ones of their
   * key. Returns how many. One that is refused again is parked again, with those behind it.
   */
  redrive(subject: string | undefined): Promise<number>;
}
