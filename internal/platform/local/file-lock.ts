import { Database } from "bun:sqlite";
import { chmodSync } from "node:fs";

/** A lock held; the operating system lets go of it when the process ends in whatever way. */
export interface FileLock {
  release(): void;
}

/**
 * Takes the lock that stands for a file, made when absent; `undefined` while another process (or this one) holds it. It is
 * SQLite's exclusive lock on an empty database: a kernel lock, which no kill -9 leaves behind and no child inherits.
 */
export function takeFileLock(path: string): FileLock | undefined {
  const database = new Database(path, { create: true });
  try {
    chmodSync(path, 0o600); // Whoever may open it may take the lock and keep its owner out.
    database.run("PRAGMA journal_mode = MEMORY");
    database.run("BEGIN EXCLUSIVE");
  } catch (error) {
    database.close();
    if (error instanceof Error && "code" in error && error.code === "SQLITE_BUSY") return undefined;
    throw error;
  }
  return { release: () => database.close() };
}
