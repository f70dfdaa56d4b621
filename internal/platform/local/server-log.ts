import { copyFile, open, stat, truncate, type FileHandle } from "node:fs/promises";
import { isMissing } from "./files.ts";

/** A server's log, and the one older part that is kept of it, are at most this long each. */
const logBytesMax = 4 * 1024 * 1024;
/** How much of a log's end is read to say why a server ended. */
const tailBytesMax = 4096;

/** Opens a server's log for appending. The server itself writes it, so that it needs nobody to go on logging. */
export function openServerLog(path: string): Promise<FileHandle> {
  return open(path, "a", 0o600);
}

/**
 * Moves what is in the log to `<path>.1` when it has become too long. The file itself stays, since the server has it open for
 * appending; lines written in the instant between may be lost.
 */
export async function boundServerLog(path: string): Promise<void> {
  if ((await logLength(path)) <= logBytesMax) return;
  await copyFile(path, `${path}.1`);
  await truncate(path, 0);
}

/** Length of the log in bytes; 0 when there is none. */
export async function logLength(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (isMissing(error)) return 0;
    throw error;
  }
}

/** The last lines written after the byte `from`, at most `lines` of them. */
export async function logTail(path: string, from: number, lines: number): Promise<string> {
  const length = await logLength(path);
  const start = Math.max(length < from ? 0 : from, length - tailBytesMax);
  const text = await Bun.file(path).slice(start, length).text();
  return text
    .split("\n")
    .filter((line) => line.trim() !== "")
    .slice(-lines)
    .join("\n");
}
