/** The state of a consumer group: a service's subscription to a topic, over all its instances. */
export interface ConsumerGroupState {
  readonly service: string;
  readonly topic: string;
  /** Events stored and not yet handled. */
  readonly lag: number;
  readonly deadLetters: number;
  /** True when retention removed events before they were handled. */
  readonly lost: boolean;
}

/** The consumer groups of a broker, seen from outside. */
export interface ConsumerGroups {
  /** Every group of the broker's services that ever consumed, by service and topic. */
  states(): Promise<readonly ConsumerGroupState[]>;
  /**
   * Starts a new inbox generation for a group and moves it to the oldest retained event. Returns the generation. Rejects with
   * NOT_FOUND, reason CONSUMER_NOT_FOUND, for a group that never consumed.
   */
  replay(service: string, topic: string): Promise<number>;
}
