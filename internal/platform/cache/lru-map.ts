/** A map that holds at most so many entries: the least recently used one makes room. */
export interface LruMap<V> {
  /** The value, which thereby becomes the most recently used. */
  get(key: string): V | undefined;
  set(key: string, value: V): void;
  delete(key: string): void;
  clear(): void;
}

/** Makes an empty map of at most `entriesMax` entries. */
export function createLruMap<V>(entriesMax: number): LruMap<V> {
  // A Map iterates in the order of insertion: the first key is the least recently used one.
  const entries = new Map<string, V>();
  return {
    get: (key) => {
      const value = entries.get(key);
      // Order matters only where there is little room: below half, the moves are saved.
      if (value !== undefined && entries.size * 2 > entriesMax) {
        entries.delete(key);
        entries.set(key, value);
      }
      return value;
    },
    set: (key, value) => {
      entries.delete(key);
      if (entries.size >= entriesMax) entries.delete(entries.keys().next().value!);
      entries.set(key, value);
    },
    delete: (key) => void entries.delete(key),
    clear: () => entries.clear(),
  };
}
