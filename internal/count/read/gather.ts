import { countReadErrors } from "./errors.ts";

/** Keys of one round trip at most. */
const tripKeysMax = 1000;
/** Round trips under way at a time: the cap is what gathers keys. */
const inFlightMax = 2;
/** Keys that may wait for their trip. */
const waitingMax = 20_000;

interface Waiting<V> {
  readonly promise: Promise<V>;
  readonly resolve: (value: V) => void;
  readonly reject: (error: unknown) => void;
}

/**
 * Makes one round trip of many single reads. A read joins only a trip that has not begun, so its answer is never older than the
 * question; equal keys of a trip are asked for once. `trip` returns a value per key, in their order.
 */
export function gather<V>(trip: (keys: readonly string[]) => Promise<readonly V[]>): (key: string) => Promise<V> {
  const waiting = new Map<string, Waiting<V>>();
  let inFlight = 0;

  const depart = async (): Promise<void> => {
    const aboard: [string, Waiting<V>][] = [];
    for (const entry of waiting) {
      aboard.push(entry);
      waiting.delete(entry[0]);
      if (aboard.length === tripKeysMax) break;
    }
    try {
      const values = await trip(aboard.map(([key]) => key));
      for (const [index, [, { resolve }]] of aboard.entries()) resolve(values[index] as V);
    } catch (error) {
      for (const [, { reject }] of aboard) reject(error);
    }
    inFlight -= 1;
    schedule();
  };
  const schedule = (): void => {
    while (inFlight < inFlightMax && waiting.size > 0) {
      inFlight += 1;
      void depart();
    }
  };

  return (key) => {
    const known = waiting.get(key);
    if (known !== undefined) return known.promise;
    if (waiting.size >= waitingMax) return Promise.reject(countReadErrors.overloaded());
    const added = Promise.withResolvers<V>();
    waiting.set(key, added);
    schedule();
    return added.promise;
  };
}
