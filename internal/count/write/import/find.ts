import type { Random } from "../../../platform/clock/random.ts";
import { countWriteErrors } from "../errors.ts";
import type { Persist } from "./kept-batches.ts";
import { beginningOf, hashOf, keyOf } from "./name.ts";
import type { ImportStore } from "./store.ts";

/** A file by its beginning, which its import is found by when it comes again. */
export interface ImportedFile {
  readonly principal: string;
  readonly optionsHash: Uint8Array;
  /** Empty: it is found by nothing. */
  readonly prefix: Uint8Array;
  /** Begin a new import in place of those that are found. */
  readonly restart: boolean;
}

/**
 * Finds the id of the import that a file belongs to, the one with the longest beginning that is the file's, and enters one when there
 * is none. Rejects with RESOURCE_EXHAUSTED, reason IMPORTS_FULL, when the caller has as many as they may.
 */
export function createImportFinder(deps: {
  readonly imports: () => Pick<ImportStore, "find" | "enter">;
  /** Enters an import among all of its caller; rejects when those are as many as may be. */
  readonly enterOfCaller: (principal: string, importId: string, deadlineMs: number) => Promise<void>;
  /** Brings a batch that was begun to its end. */
  readonly finish: (key: string, deadlineMs: number) => Promise<unknown>;
  readonly persist: Persist;
  readonly random: Pick<Random, "uuid">;
}): (file: ImportedFile, deadlineMs: number) => Promise<string> {
  return async ({ principal, optionsHash, prefix, restart }, deadlineMs) => {
    const fresh = deps.random.uuid();
    if (prefix.length === 0) return fresh; // Every file begins like that: there is nothing to find it by.
    const index = hashOf(Buffer.concat([Buffer.from(`${principal}\0`), optionsHash])).toString("hex", 0, 16);
    const entered = await deps.persist(deadlineMs, () => deps.imports().find(index));
    const hashes = new Map<number, Buffer>();
    const matching = entered
      .filter(({ prefix: { bytes, hash } }) => {
        if (bytes > prefix.length) return false;
        const own = hashes.get(bytes) ?? hashOf(prefix.subarray(0, bytes));
        hashes.set(bytes, own);
        return own.equals(hash);
      })
      .toSorted((a, b) => b.prefix.bytes - a.prefix.bytes);
    const [longest] = matching;
    if (longest !== undefined && !restart) return longest.importId;
    for (const { importId } of matching) await deps.finish(keyOf(principal, importId), deadlineMs);
    await deps.enterOfCaller(principal, fresh, deadlineMs); // First: who may have no more leaves nothing behind.
    const id = await deps.persist(deadlineMs, () =>
      deps.imports().enter(
        index,
        beginningOf(prefix),
        fresh,
        matching.map((found) => found.prefix),
      ),
    );
    if (id !== undefined) return id;
    throw countWriteErrors.importsFull();
  };
}
