import { LRUCache } from "lru-cache";

/** A map that holds at most so many entries: the least recently used one makes room. */
export interface LruMap<V> {
  /** The value, which thereby becomes the most recently used. */
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  delete(key: string): void;
  clear(): void;
}

/** Makes an empty map of at most `entriesMax` entries, 1 or more. */
export function createLruMap<V extends {}>(entriesMax: number): LruMap<V> {
  // A Map of the language, in the order of use, would not do: the first of its keys is found past the places of all that were deleted before.
  const entries = new LRUCache<string, V>({ max: entriesMax });
  return {
    get: (key) => entries.get(key),
    set: (key, value) => void entries.set(key, value),
    delete: (key) => void entries.delete(key),
    clear: () => entries.clear(),
  };
}
