import { type ImportPrefix, type ImportRecord, tailBytesMax } from "./store.ts";

/** SHA-256. */
export function hashOf(bytes: Uint8Array): Buffer {
  return Buffer.from(Bun.SHA256.hash(bytes).buffer);
}

/** Names an import in the store: each caller has ids of their own. */
export function keyOf(principal: string, importId: string): string {
  return hashOf(Buffer.from(`${principal}\0${importId}`)).toString("hex", 0, 16);
}

/** Names the index of all imports of a caller. */
export function callerIndexOf(principal: string): string {
  return hashOf(Buffer.from(`${principal}\0`)).toString("hex", 0, 16);
}

/** The beginning of a file, as imports are found by it. */
export function beginningOf(prefix: Uint8Array): ImportPrefix {
  return { bytes: prefix.length, hash: hashOf(prefix) };
}

/** The beginning of a file that is counted; `undefined` when it is too long to be told from the bytes before the offset. */
export function countedOf({ offset, tailHash }: ImportRecord): ImportPrefix | undefined {
  return tailHash === undefined || offset > tailBytesMax ? undefined : { bytes: offset, hash: tailHash };
}
