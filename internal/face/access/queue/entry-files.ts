import { mkdir, open, readdir, readFile, rm, truncate, type FileHandle } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { payloadBytesMax, readFrames } from "./frames.ts";

/** A file this long is not written to any more. */
const fileBytesMax = 4 * 1024 * 1024;
/** Read of a file at a time: room for a batch of usual entries, and for two of the longest. */
const chunkBytes = Math.max(256 * 1024, payloadBytesMax * 2);

/** Entries from the files, oldest first. */
export interface QueueBatch {
  readonly payloads: readonly Buffer[];
  /** For `done`. */
  readonly file: number;
  readonly end: number;
}

/** Files of entries in a folder that this process alone holds, one after the other. Appends come one after the other. */
export interface EntryFiles {
  /** Makes the folder, and finds what a process before left; the torn end of a file is dropped. */
  recover(): Promise<void>;
  /** Resolves once the block is on disk. When it rejects, nothing of it is read later, unless the disk says otherwise after a crash. */
  append(block: Buffer): Promise<void>;
  /** The oldest entries that are not done, at most `max`; `undefined` when all are. */
  read(max: number): Promise<QueueBatch | undefined>;
  /** All entries that are not done, the oldest first. */
  readAll(): Promise<readonly Buffer[]>;
  /** The entries of a batch, and all before it, are stored elsewhere: files that hold nothing else go, but for the one that is written to. */
  done(batch: QueueBatch): Promise<void>;
  /** Removes that one too, when all in it is done. */
  sweep(): Promise<void>;
  close(): Promise<void>;
  /** Bytes in all files. */
  bytes(): number;
}

interface EntryFile {
  readonly number: number;
  /** Bytes on disk, all of them whole entries. */
  size: number;
  /** Bytes that are done. */
  doneTo: number;
}

export function createEntryFiles(folder: string, log: Logger): EntryFiles {
  const pathOf = (number: number): string => pathIn(folder, number);
  /** The oldest first; the last one is written to while `handle` is there. */
  const files: EntryFile[] = [];
  let handle: FileHandle | undefined;
  let nextNumber = 1;
  let bytes = 0;

  const close = async (): Promise<void> => {
    const closing = handle;
    handle = undefined;
    await closing?.close().catch((error: unknown) => log.warn("a file of entries did not close", { err: error }));
  };

  const remove = async (file: EntryFile): Promise<void> => {
    await rm(pathOf(file.number), { force: true });
    files.splice(files.indexOf(file), 1);
    bytes -= file.size;
  };

  /** Opens the file that is written to; a full one is left behind. */
  const fileToWrite = async (): Promise<{ readonly file: EntryFile; readonly to: FileHandle }> => {
    const last = files.at(-1);
    if (handle !== undefined && last !== undefined && last.size < fileBytesMax) return { file: last, to: handle };
    await close();
    const file: EntryFile = { number: nextNumber, size: 0, doneTo: 0 };
    handle = await open(pathOf(file.number), "ax", 0o600);
    nextNumber += 1;
    files.push(file);
    await syncFolder(folder);
    return { file, to: handle };
  };

  return {
    recover: async () => {
      files.push(...(await recoverFiles(folder, log)));
      nextNumber = (files.at(-1)?.number ?? 0) + 1;
      bytes = files.reduce((sum, { size }) => sum + size, 0);
    },

    append: async (block) => {
      const { file, to } = await fileToWrite();
      try {
        await to.writeFile(block);
        await to.datasync();
      } catch (error) {
        // What follows a torn entry would not be read: the next one begins a new file.
        await close();
        await truncate(pathOf(file.number), file.size).catch(() => undefined); // Readers stop at the torn entry as well.
        throw error;
      }
      file.size += block.byteLength;
      bytes += block.byteLength;
    },

    read: (max) => readOldest(folder, files, max),
    readAll: () => readRest(folder, files),

    done: async (batch) => {
      for (const file of files) {
        if (file.number < batch.file) file.doneTo = file.size;
        if (file.number === batch.file) file.doneTo = batch.end;
      }
      for (const file of files.slice(0, -1)) if (file.doneTo === file.size) await remove(file);
    },

    sweep: async () => {
      const last = files.at(-1);
      if (last === undefined || last.doneTo < last.size) return;
      // From here on, what is written finds no file, and begins another.
      await close();
      await remove(last);
    },

    close,
    bytes: () => bytes,
  };
}

function pathIn(folder: string, number: number): string {
  return join(folder, `${String(number).padStart(12, "0")}.entries`);
}

/** The files that a process before left, the oldest first. Empty ones go. */
async function recoverFiles(folder: string, log: Logger): Promise<readonly EntryFile[]> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const found: EntryFile[] = [];
  for (const number of await numbersIn(folder)) {
    const size = await mend(pathIn(folder, number), log);
    if (size > 0) found.push({ number, size, doneTo: 0 });
    else await rm(pathIn(folder, number));
  }
  return found;
}

async function readOldest(folder: string, files: readonly EntryFile[], max: number): Promise<QueueBatch | undefined> {
  const file = files.find(({ doneTo, size }) => doneTo < size);
  if (file === undefined) return undefined;
  const { number, doneTo, size } = file;
  const { payloads, end } = readFrames(await readPart(pathIn(folder, number), doneTo, size), max);
  if (end === 0) throw new Error("a file of entries cannot be read any more");
  return { payloads, file: number, end: doneTo + end };
}

async function readRest(folder: string, files: readonly EntryFile[]): Promise<readonly Buffer[]> {
  const payloads: Buffer[] = [];
  for (const { number, doneTo, size } of files) {
    const bytes = await readFile(pathIn(folder, number));
    payloads.push(...readFrames(bytes.subarray(doneTo, size), Infinity).payloads);
  }
  return payloads;
}

/** The numbers of the files in a folder, the oldest first. */
async function numbersIn(folder: string): Promise<readonly number[]> {
  const numbers = (await readdir(folder)).map((name) => Number(/^(\d{12})\.entries$/.exec(name)?.[1]));
  return numbers.filter((number) => !Number.isNaN(number)).toSorted((one, other) => one - other);
}

/** Drops the torn end of a file, and returns how long it is then. */
async function mend(path: string, log: Logger): Promise<number> {
  const whole = await readFile(path);
  const { end } = readFrames(whole, Infinity);
  if (end < whole.byteLength) {
    log.warn("the end of a file of entries was torn, and is dropped", { file: path, bytes: whole.byteLength - end });
    await truncate(path, end);
  }
  return end;
}

/** Makes sure that a new file is found after a crash. */
async function syncFolder(folder: string): Promise<void> {
  const directory = await open(folder, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** A chunk of a file from a place on, up to its known end. */
async function readPart(path: string, from: number, to: number): Promise<Buffer> {
  const length = Math.min(to - from, chunkBytes);
  const handle = await open(path, "r");
  try {
    const buffer = Buffer.alloc(length);
    const { bytesRead } = await handle.read(buffer, 0, length, from);
    return buffer.subarray(0, bytesRead);
  } finally {
    await handle.close();
  }
}
