/** Something that runs beside the calls: a relay, a sweeper, a server. */
export interface Component {
  /** For logs and `muin status`. */
  readonly name: string;
  /** Resolves when it is running. Called once, after everything it depends on has started. */
  start(): Promise<void>;
  /** Resolves when it has stopped and let go of all it held. Idempotent; safe before or during `start`. */
  stop(): Promise<void>;
}

/** Starts components in order and stops them in reverse, each at most once. A failed start stops what had started. */
export function createSequence(name: string, components: readonly Component[]): Component {
  let started: Component[] = [];
  let stopping: Promise<void> | undefined;
  const stopAll = async (): Promise<void> => {
    const failures: unknown[] = [];
    for (const component of started.toReversed()) {
      try {
        await component.stop();
      } catch (error) {
        failures.push(error);
      }
    }
    started = [];
    if (failures.length > 0) throw new AggregateError(failures, `${name}: some parts did not stop cleanly`);
  };
  return {
    name,
    start: async () => {
      for (const component of components) {
        if (stopping !== undefined) break;
        started.push(component);
        try {
          await component.start();
        } catch (error) {
          stopping ??= stopAll();
          await stopping.catch(() => undefined); // The start's own error says why.
          throw error;
        }
      }
    },
    stop: () => (stopping ??= stopAll()),
  };
}
