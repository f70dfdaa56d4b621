import type { Clock } from "../clock/clock.ts";
import type { EventRecord } from "../service/event-record.ts";

/** Keys that are handled at the same time. */
const keysAtOnceMax = 16;
/** `progress` is told so often while items are handled. */
const progressEveryMs = 500;

/**
 * Handles items: those of one key in order and one at a time, several keys side by side. `progress` is told the last item before
 * which, itself included, everything was handled or not wanted: now and then, and at the end, also after a failure. Rejects with
 * the first failure, once all that was under way has ended.
 */
export async function handleInOrder<T extends { readonly record: EventRecord }>(
  items: readonly T[],
  how: {
    readonly isWanted: (item: T) => boolean;
    readonly handle: (item: T) => Promise<void>;
    readonly progress: (last: T) => Promise<void>;
    readonly clock: Clock;
  },
): Promise<void> {
  const chains = new Map<string, T[]>();
  const open = new Set<T>();
  for (const item of items) {
    if (!how.isWanted(item)) continue;
    open.add(item);
    const chain = chains.get(item.record.subject);
    if (chain === undefined) chains.set(item.record.subject, [item]);
    else chain.push(item);
  }

  let told = 0;
  const tell = async (): Promise<void> => {
    let handled = told;
    while (handled < items.length && !open.has(items[handled] as T)) handled++;
    if (handled === told) return;
    told = handled;
    await how.progress(items[handled - 1] as T);
  };

  let failure: { readonly error: unknown } | undefined;
  const fail = (error: unknown): void => {
    failure ??= { error };
  };
  const rest = chains.values();
  const handleRest = async (): Promise<void> => {
    for (const chain of rest) {
      for (const item of chain) {
        if (failure !== undefined) return;
        await how.handle(item);
        open.delete(item);
      }
    }
  };
  const done = new AbortController();
  const tellMeanwhile = async (): Promise<void> => {
    while (!done.signal.aborted) {
      await how.clock.sleep(progressEveryMs, done.signal).catch(() => undefined); // Ends the loop.
      if (!done.signal.aborted) await tell();
    }
  };

  const telling = tellMeanwhile().catch(fail);
  const workers = Array.from({ length: Math.min(keysAtOnceMax, chains.size) }, () => handleRest().catch(fail));
  await Promise.all(workers);
  done.abort();
  await telling;
  await tell().catch(fail);
  if (failure !== undefined) throw failure.error;
}
