import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { accessErrors } from "../errors.ts";
import { createEntryFiles, type EntryFiles } from "./entry-files.ts";
import { frameOf } from "./frames.ts";

/**
 * Keeps entries on disk until the database has them, in the order in which they came. What was appended outlives the process and the machine's
 * power.
 */
export interface EntryQueue extends Component, Pick<EntryFiles, "read" | "readAll" | "done" | "sweep" | "bytes"> {
  /**
   * Resolves once the entry is on disk, together with those that came meanwhile. Throws RESOURCE_EXHAUSTED, reason ENTRY_QUEUE_FULL, when there is no room,
   * and UNAVAILABLE, reason ENTRY_QUEUE_FAILED, when the disk fails: then it may be recorded all the same.
   */
  append(payload: Uint8Array): Promise<void>;
  /** Throws as `append` does when there is no room now. */
  checkRoom(): void;
  /** `tell` is called after entries were appended. */
  onAppended(tell: () => void): void;
}

interface Waiting {
  readonly frame: Buffer;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/** Opens nothing before its start. `bytesMax` bounds the files together. */
export function createEntryQueue(options: {
  readonly folder: string;
  readonly bytesMax: number;
  readonly log: Logger;
}): EntryQueue {
  const { folder, bytesMax, log } = options;
  const files = createEntryFiles(folder, log);
  let waiting: Waiting[] = [];
  let waitingBytes = 0;
  let writing: Promise<void> | undefined;
  let isStopped = true;
  let tellAppended: (() => void) | undefined;

  /** Writes what waits, all that came meanwhile together, until nothing does. */
  const writeWaiting = async (): Promise<void> => {
    while (waiting.length > 0) {
      const batch = waiting;
      waiting = [];
      const block = Buffer.concat(batch.map(({ frame }) => frame));
      try {
        await files.append(block);
        for (const each of batch) each.resolve();
        tellAppended?.();
      } catch (error) {
        log.error("entries could not be written to disk", { err: error });
        for (const each of batch) each.reject(refusalOf(error));
      }
      waitingBytes -= block.byteLength;
    }
    writing = undefined;
  };

  const checkRoom = (frameBytes: number): void => {
    if (isStopped) throw accessErrors.entryQueueFailed();
    if (files.bytes() + waitingBytes + frameBytes > bytesMax) throw accessErrors.entryQueueFull();
  };

  return {
    name: "access queue of entries",
    start: async () => {
      await files.recover();
      isStopped = false;
    },
    stop: async () => {
      isStopped = true;
      await writing;
      await files.close();
    },
    checkRoom: () => checkRoom(1),
    append: async (payload) => {
      const frame = frameOf(payload);
      checkRoom(frame.byteLength);
      const { promise, resolve, reject } = Promise.withResolvers<void>();
      waiting.push({ frame, resolve, reject });
      waitingBytes += frame.byteLength;
      writing ??= writeWaiting();
      await promise;
    },
    read: (max) => files.read(max),
    readAll: () => files.readAll(),
    done: (batch) => files.done(batch),
    // While something is written it is written to the last file; another sweep comes.
    sweep: async () => (writing === undefined ? files.sweep() : undefined),
    bytes: () => files.bytes(),
    onAppended: (tell) => {
      tellAppended = tell;
    },
  };
}

function refusalOf(error: unknown): Error {
  const { code } = error as { readonly code?: unknown };
  const isDiskFull = code === "ENOSPC" || code === "EDQUOT";
  return isDiskFull ? accessErrors.entryQueueFull({ cause: error }) : accessErrors.entryQueueFailed({ cause: error });
}
