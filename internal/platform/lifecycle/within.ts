import type { Clock } from "../clock/clock.ts";

/** What `work` resolves with; `undefined` when it rejects, or has not settled after `ms` milliseconds. */
export async function within<T>(clock: Pick<Clock, "sleep">, ms: number, work: Promise<T>): Promise<T | undefined> {
  const settled = new AbortController();
  try {
    return await Promise.race([work, clock.sleep(ms, settled.signal).then(() => undefined)]);
  } catch {
    return undefined;
  } finally {
    settled.abort();
  }
}
