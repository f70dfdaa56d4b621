import { readJson, replaceFile } from "./files.ts";

/** Small values by name that are made once and kept in a file. */
export interface KeptValues<T> {
  /** The value of that name. */
  get(name: string): T | undefined;
  /** Resolves when the value is on disk. Values set in one turn of the event loop are written together. */
  set(name: string, value: T): Promise<void>;
}

/** Opens the JSON file at `path`, which only its owner can read; it is made with the first value. */
export async function openKeptValues<T>(path: string): Promise<KeptValues<T>> {
  const values = new Map(Object.entries((await readJson<Record<string, T>>(path)) ?? {}));
  let waiting: Promise<void> | undefined;
  let last: Promise<void> = Promise.resolve();
  const write = (): Promise<void> => {
    waiting = undefined; // What is set from here on is for the next write.
    return replaceFile(path, `${JSON.stringify(Object.fromEntries(values), undefined, 2)}\n`, { mode: 0o600 });
  };
  return {
    get: (name) => values.get(name),
    set: (name, value) => {
      values.set(name, value);
      if (waiting === undefined) {
        waiting = last.then(write);
        last = waiting.catch(() => undefined); // Whoever set the value gets the error.
      }
      return waiting;
    },
  };
}
