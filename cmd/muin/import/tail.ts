import { createHash } from "node:crypto";
import { OtherSourceError } from "./source-error.ts";
import { shorter, type Source } from "./source.ts";
import type { ImportPosition } from "./target.ts";

/** So many bytes before an offset tell whether a file is the one that was counted up to there. */
const tailBytesMax = 64 * 1024;

/** Bytes that are kept to name offsets by: more than can be read before it is known that a record ends. */
const keptBytesMax = 8 << 20;

/** The latest bytes of a source, by which it is known again at an offset. */
export interface Tail {
  /** Takes the bytes that come next. */
  push(chunk: Uint8Array): void;
  /** SHA-256 of the bytes before an offset, as the server keeps it; `undefined` when they are not kept any more. */
  hashAt(offset: number): Uint8Array<ArrayBuffer> | undefined;
}

/** The first byte that tells whether a file is the one that was counted up to `offset`. */
export function tailStart(offset: number): number {
  return Math.max(0, offset - tailBytesMax);
}

/** The tail of a source that is read from `start` on. */
export function createTail(start: number): Tail {
  const chunks: { readonly start: number; readonly bytes: Uint8Array }[] = [];
  let end = start;
  return {
    push: (chunk) => {
      // A copy: the stream may use the chunk's memory again.
      chunks.push({ start: end, bytes: chunk.slice() });
      end += chunk.length;
      while (chunks[1] !== undefined && end - chunks[1].start >= keptBytesMax) chunks.shift();
    },
    hashAt: (offset) => {
      const from = tailStart(offset);
      if (from < (chunks[0]?.start ?? end) || offset > end) return undefined;
      const hash = createHash("sha256");
      for (const { start: first, bytes } of chunks) {
        hash.update(bytes.subarray(Math.max(0, from - first), Math.max(0, offset - first)));
      }
      return Uint8Array.from(hash.digest());
    },
  };
}

/**
 * The bytes of a source from where an import goes on, each chunk known to the tail, which must begin at `tailStart` of there. Throws
 * `OtherSourceError` before the first when the bytes before it are not those that were counted.
 */
export async function* readOn(
  source: Source,
  { offset, tailHash }: Pick<ImportPosition, "offset" | "tailHash">,
  tail: Tail,
): AsyncGenerator<Uint8Array, void, void> {
  let position = tailStart(offset);
  let known = offset === 0;
  for await (const chunk of source.read(position)) {
    tail.push(chunk);
    const start = Math.max(0, offset - position);
    position += chunk.length;
    if (position < offset) continue;
    if (!known) {
      const own = tail.hashAt(offset);
      if (tailHash !== undefined && (own === undefined || !Buffer.from(own).equals(tailHash))) {
        throw new OtherSourceError(
          `${source.name} is not the file that was counted before: the bytes before ${offset} are others; --restart counts it anew`,
        );
      }
      known = true;
    }
    if (start < chunk.length) yield start === 0 ? chunk : chunk.subarray(start);
  }
  if (position < offset) throw shorter(source.name, position, offset);
}
