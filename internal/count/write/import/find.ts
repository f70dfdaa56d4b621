import type { Random } from "../../../platform/clock/random.ts";
import { countWriteErrors } from "../errors.ts";
import type { Persist } from "./kept-batches.ts";
import { beginningOf, countedOf, hashOf, keyOf } from "./name.ts";
import type { ImportPrefix, ImportRecord, ImportStore } from "./store.ts";

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
 * is none. A file that is as long as what was counted and begins otherwise is another one, although it began alike when it was first
 * seen. Rejects with RESOURCE_EXHAUSTED, reason IMPORTS_FULL, when the caller has as many as they may.
 */
export function createImportFinder(deps: {
  readonly imports: () => Pick<ImportStore, "find" | "enter">;
  /** Enters an import among all of its caller; rejects when those are as many as may be. */
  readonly enterOfCaller: (principal: string, importId: string, deadlineMs: number) => Promise<void>;
  /** Brings a batch that was begun to its end. */
  readonly finish: (key: string, deadlineMs: number) => Promise<ImportRecord | undefined>;
  readonly persist: Persist;
  readonly random: Pick<Random, "uuid">;
}): (file: ImportedFile, deadlineMs: number) => Promise<string> {
  return async ({ principal, optionsHash, prefix, restart }, deadlineMs) => {
    const fresh = deps.random.uuid();
    if (prefix.length === 0) return fresh; // Every file begins like that: there is nothing to find it by.
    const index = hashOf(Buffer.concat([Buffer.from(`${principal}\0`), optionsHash])).toString("hex", 0, 16);
    const entered = await deps.persist(deadlineMs, () => deps.imports().find(index));
    const hashes = new Map<number, Buffer>();
    const begins = ({ bytes, hash }: ImportPrefix): boolean => {
      if (bytes > prefix.length) return false;
      const own = hashes.get(bytes) ?? hashOf(prefix.subarray(0, bytes));
      hashes.set(bytes, own);
      return own.equals(hash);
    };
    const alike = entered.filter((each) => begins(each.prefix)).toSorted((a, b) => b.prefix.bytes - a.prefix.bytes);
    const replaced: ImportPrefix[] = [];
    for (const found of alike) {
      const record = await deps.finish(keyOf(principal, found.importId), deadlineMs);
      const counted = record === undefined ? undefined : countedOf(record);
      const isOther = counted !== undefined && counted.bytes <= prefix.length && !begins(counted);
      if (isOther) continue;
      if (!restart) return found.importId;
      // A longer file that began alike is known by what was counted of it, and stays what it is.
      if (counted !== undefined && counted.bytes > prefix.length) {
        await deps.persist(deadlineMs, () => deps.imports().enter(index, counted, found.importId, [found.prefix]));
      } else {
        replaced.push(found.prefix);
      }
    }
    await deps.enterOfCaller(principal, fresh, deadlineMs); // First: who may have no more leaves nothing behind.
    const id = await deps.persist(deadlineMs, () => deps.imports().enter(index, beginningOf(prefix), fresh, replaced));
    if (id !== undefined) return id;
    throw countWriteErrors.importsFull();
  };
}
