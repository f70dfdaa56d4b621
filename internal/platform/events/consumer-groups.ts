/** The state of a consumer group: a service's subscription to a topic, over all its instances. */
export interface ConsumerGroupState {
  readonly service: string;
  readonly topic: string;
  /** Events stored and not yet handled. */
  readonly lag: number;
  readonly deadLetters: number;
  /** True when retention removed events before they were handled, and that was not made good yet. */
  readonly lost: boolean;
  /**
   * The present loss, or the last one: what was stored before this moment was handled, in milliseconds of the broker's clock. Absent when
   * nothing was ever lost.
   */
  readonly lostSinceMs?: number;
}

/** The consumer groups of a broker, seen from outside. */
export interface ConsumerGroups {
  /**
   * Every group of one service, or of all of the broker's, that ever consumed, by service and topic; without those of which the store keeps
   * what cannot be read.
   */
  states(service?: string): Promise<readonly ConsumerGroupState[]>;
  /**
   * Starts a new inbox generation for a group and moves it to the oldest retained event. Returns the generation. Rejects with
   * NOT_FOUND, reason CONSUMER_NOT_FOUND, for a group that never consumed.
   */
  replay(service: string, topic: string): Promise<number>;
  /** Ends a loss that nothing can make good: the group goes on where it stands, and is not LOST any more. */
  settle(service: string, topic: string): Promise<void>;
}
