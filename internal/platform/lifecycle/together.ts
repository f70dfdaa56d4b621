import type { Component } from "./component.ts";

/**
 * Components that do not depend on each other, as one: all start at once and all stop at once, so that the slowest alone decides how
 * long it takes. When one does not start, the others are stopped, and its error says why. A failure to stop one stops no other.
 */
export function createTogether(name: string, components: readonly Component[]): Component {
  let stopping: Promise<void> | undefined;
  const stopAll = async (): Promise<void> => {
    const ends = await Promise.allSettled(components.map((component) => component.stop()));
    const failures = ends.flatMap((end) => (end.status === "rejected" ? [end.reason as unknown] : []));
    if (failures.length > 0) throw new AggregateError(failures, `${name}: some parts did not stop cleanly`);
  };
  const stop = (): Promise<void> => (stopping ??= stopAll());
  return {
    name,
    start: async () => {
      const starts = await Promise.allSettled(components.map((component) => component.start()));
      const failed = starts.find((start) => start.status === "rejected");
      if (failed === undefined) return;
      await stop().catch(() => undefined); // The start's own error says why.
      throw failed.reason;
    },
    stop,
  };
}
