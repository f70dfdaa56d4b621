import type { Component } from "../lifecycle/component.ts";
import type { EventPublisher, EventRecord } from "../service/event-record.ts";

/** Bytes of one event's message at most. */
export const eventBytesMax: number = 1 << 20;

/** How a consumer takes part in a topic. */
export interface Subscription {
  /** Service that consumes: its instances share the work (group), or each gets all (everyInstance). */
  readonly service: string;
  readonly topic: string;
  /** Full names of the messages that `handle` wants; others of the topic are acknowledged unseen. */
  readonly types: readonly string[];
  readonly kind: "group" | "everyInstance";
  /** What happens to later events of a key once one of it was given up on. Only for groups. */
  readonly onFailure: "parkKey" | "skip";
  /** everyInstance: begin so far back, in milliseconds. A new group begins with the oldest retained event. */
  readonly backMs: number;
  /** Attempts before an event is parked, at least 1. Only for groups. */
  readonly attemptsMax: number;
  /**
   * Handles one event; events of one key come in order, one at a time. Rejecting means: try again, then park. An event can
   * come again after a crash: effects are made once by the handler (`Delivery.once`, a version check). The signal is aborted
   * when the consumer stops or loses its partition.
   */
  handle(record: EventRecord, delivery: BusDelivery): Promise<void>;
  /**
   * everyInstance: where it reads on, though no further back than `backMs`. A place that the store does not lead on from, since what
   * followed it was removed or the store is another, counts as events that were removed, and it begins `backMs` back. Default: so it always does.
   */
  readonly places?: KeptPlaces;
  /**
   * everyInstance: events may have been removed before this instance had handled them. Called before it handles what follows, again until it
   * resolves: what was made of earlier events is to be dropped and read anew. Default: nothing.
   */
  onTrimmed?(): Promise<void>;
  /**
   * Handles several events, of several keys, in the order in which they are stored: for effects that cost less together. Only for
   * groups. Rejecting means that none was handled; each is then given to `handle`. Absent: `handle` gets all of them.
   */
  handleTogether?(records: readonly EventRecord[], delivery: BusDelivery): Promise<void>;
  /**
   * With `handleTogether`: once nothing more waits, the consumer lets so many milliseconds pass, less up to a half by chance, before it looks again,
   * so that what comes meanwhile is handled together. What it delays it makes cheaper. Default 0.
   */
  readonly gatherMs?: number;
}

/** How far an instance has read a topic, kept beyond its process. */
export interface KeptPlaces {
  /** What `moved` said last of a partition; `undefined` when nothing is known of it. */
  placeOf(partition: number): string | undefined;
  /** All events of the partition until there were handled. What `place` says is the broker's own. */
  moved(partition: number, place: string): void;
}

/** What a handler learns beside the event. */
export interface BusDelivery {
  /** Inbox generation of the consumer: grows by one with each `replay`. */
  readonly generation: number;
  /** 1 for the first attempt. */
  readonly attempt: number;
  readonly signal: AbortSignal;
}

/** A running subscription. */
export interface Consumer extends Component {
  /** everyInstance: resolves once all that was stored when it started has been handled. group: once it takes part. */
  readonly caughtUp: Promise<void>;
}

/**
 * Carries events between services. Order holds per (topic, subject): first occurrences come in the order in which they were
 * published; repeats may come at any time and carry the same id. Nothing acknowledged is lost before retention removes it, and
 * a slow consumer never stops a producer.
 */
export interface Broker extends EventPublisher {
  /** A component that consumes while it runs. */
  subscribe(subscription: Subscription): Consumer;
  /** Event records of a topic as they are stored, until the signal is aborted. Keeps no position. */
  tail(
    topic: string,
    options: { readonly fromStart: boolean; readonly signal: AbortSignal },
  ): AsyncIterable<EventRecord>;
  /** When the newest heartbeat was received, by the local monotonic clock in milliseconds; -Infinity before the first. */
  heartbeatReceivedAt(): number;
}
