import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { startThread, type Thread } from "../../../platform/lifecycle/thread.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { ScanMemory } from "./scan-memory.ts";
import { createScanPages, type Found, type Scan } from "./scan-pages.ts";

/** To the thread that scans. */
export type ScanMessage =
  /** Scan this from now on. */
  | { readonly kind: "memory"; readonly memory: WebAssembly.Memory }
  | { readonly kind: "scan"; readonly id: number; readonly scan: Scan };

/** From it. */
export interface ScanAnswer extends Found {
  readonly id: number;
}

/** Scans galleries, large ones beside the event loop. */
export interface Scanner extends Component {
  /**
   * The likest rows. Rows that are written while it works are found or not. Throws RESOURCE_EXHAUSTED, reason OVERLOADED, when too many scans wait. Rejects
   * with the signal's reason when that aborts.
   */
  scan(scan: Scan, signal: AbortSignal): Promise<Found>;
}

/** So many bytes of rows are scanned in less time than it takes to ask a thread: 2000 faces of 512 numbers in 0.1 ms. */
const hereBytesMax = 2000 * 512;
/** Scans that the thread is given at a time: the next lies there when one is done. */
const inThreadMax = 2;

interface Job {
  readonly scan: Scan;
  readonly done: PromiseWithResolvers<Found>;
}

interface ScannerOptions {
  readonly memory: ScanMemory;
  readonly waitingMax: number;
  readonly log: Logger;
  /** Told of each scan that is refused. */
  readonly refused: () => void;
}

/** Makes a scanner of a memory. At most `waitingMax` scans wait for the thread. */
export function createScanner(options: ScannerOptions): Scanner {
  const { memory, waitingMax, log, refused } = options;
  const scanHere = createScanPages(memory.memory, "here");
  const waiting = new Set<Job>();
  const inThread = new Map<number, Job>();
  let thread: Thread<ScanMessage> | undefined;
  let isStopped = false;
  let lastId = 0;

  const next = (): void => {
    for (const job of waiting) {
      if (thread === undefined || inThread.size >= inThreadMax) return;
      waiting.delete(job);
      inThread.set((lastId += 1), job);
      thread.post({ kind: "scan", id: lastId, scan: job.scan });
    }
  };
  const answered = ({ id, slots, floor }: ScanAnswer): void => {
    inThread.get(id)?.done.resolve({ slots, floor });
    inThread.delete(id);
    next();
  };
  const failAll = (error: unknown): void => {
    for (const { done } of [...inThread.values(), ...waiting]) done.reject(error);
    inThread.clear();
    waiting.clear();
  };
  const begin = (): void => {
    const begun = startThread<ScanMessage, ScanAnswer>(new URL("./scan-thread.ts", import.meta.url), answered);
    thread = begun;
    begun.post({ kind: "memory", memory: memory.memory });
    begun.ended.catch((error: unknown) => {
      thread = undefined;
      failAll(error);
      // Whoever scans next begins another one: one that cannot begin would otherwise be begun without end.
      if (!isStopped) log.error("the thread that looks faces up has ended", { err: error });
    });
  };

  return {
    name: "scans of faces",
    scan: async (scan, signal) => {
      signal.throwIfAborted();
      if (isStopped) throw storeErrors.unavailable();
      if (scan.rows * scan.stride <= hereBytesMax) return scanHere(scan);
      if (waiting.size >= waitingMax) {
        refused();
        throw storeErrors.overloaded();
      }
      const job: Job = { scan, done: Promise.withResolvers<Found>() };
      const abort = (): void => {
        waiting.delete(job); // One that the thread has is done there, unheard.
        job.done.reject(signal.reason as Error);
      };
      signal.addEventListener("abort", abort, { once: true });
      waiting.add(job);
      if (thread === undefined && !isStopped) begin();
      next();
      try {
        return await job.done.promise;
      } finally {
        signal.removeEventListener("abort", abort);
      }
    },
    start: () => {
      if (!isStopped) begin();
      return Promise.resolve();
    },
    stop: async () => {
      isStopped = true;
      failAll(storeErrors.unavailable());
      await thread?.stop();
    },
  };
}
