import type { Clock } from "../../../platform/clock/clock.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { createBell } from "../../../platform/lifecycle/bell.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Dropped } from "./copies.ts";
import { loadBranch, type Loaded, type LoadOptions, readRecords } from "./load-branch.ts";
import { createWants } from "./wants.ts";

/** Loads copies of branches, one at a time. */
export interface Loader extends Component {
  /** A branch is asked for that has no copy. */
  want(branchId: string): void;
  /** A copy was dropped. */
  dropped(branchId: string, why: Dropped): void;
  /** There may be records to read. */
  look(): void;
}

/** How long until a branch may be loaded again, by why it was not, or is no more: each load takes of the store's time. */
const pauseMs: Readonly<Record<Exclude<Loaded, "loaded"> | "failed", number>> = {
  none: 1000,
  no_room: 30_000,
  not_fresh: 200,
  outdated: 0,
  failed: 500,
};
/** Why a branch was not loaded that is loaded as soon as it may be, whether or not it is asked for again. */
const isTriedAgain: ReadonlySet<keyof typeof pauseMs> = new Set(["not_fresh", "outdated", "failed"]);
/** How often the loader looks, whatever it is told. */
const lookEveryMs = 200;

interface LoaderOptions extends LoadOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** Told at every look. */
  readonly looked: () => void;
}

/** Makes a loader. */
export function createLoader(options: LoaderOptions): Loader {
  const { clock, log, looked } = options;
  const stopping = new AbortController();
  const { signal } = stopping;
  const bell = createBell();
  const wants = createWants(clock);
  let running: Promise<void> = Promise.resolve();

  const want = (branchId: string): void => {
    if (wants.ask(branchId)) bell.ring();
  };
  const load = async (branchId: string): Promise<void> => {
    const loaded = await loadBranch(options, branchId, signal).catch((error: unknown) => {
      if (!signal.aborted && !isAway(error))
        log.error("a branch's faces could not be loaded", { branchId, err: error });
      return "failed" as const;
    });
    wants.done();
    if (loaded === "loaded") return;
    if (loaded === "no_room") log.warn("a branch's faces are more than snapshots may take", { branchId });
    wants.pause(branchId, pauseMs[loaded]);
    if (isTriedAgain.has(loaded)) wants.askLater(branchId);
  };
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      bell.reset();
      await readMissing(options);
      const branchId = wants.next();
      if (branchId !== undefined) await load(branchId);
      looked();
      if (branchId === undefined) await bell.wait(clock, lookEveryMs, signal);
    }
  };
  return {
    name: "copies of branches",
    want,
    dropped: (branchId, why) => {
      if (why === "no_room") wants.pause(branchId, pauseMs[why]);
      else want(branchId);
    },
    look: bell.ring,
    start: () => {
      if (!signal.aborted) running = run();
      return Promise.resolve();
    },
    stop: async () => {
      stopping.abort();
      await running;
    },
  };
}

/** Reads the records that have changed, and those of people whose faces came by the stream. */
async function readMissing({ copies, records, log }: LoaderOptions): Promise<void> {
  for (const copy of Array.from(copies.all())) {
    if (!copy.isReady || (copy.branch !== "unread" && copy.unread().length === 0)) continue;
    const filling = copy.fill();
    try {
      await readRecords(records, copy, filling);
    } catch (error) {
      if (!isAway(error)) log.error("records of people and branches could not be read", { err: error });
    } finally {
      filling.end(false);
    }
  }
}

function isAway(error: unknown): boolean {
  return error instanceof MuinError && error.code === "unavailable";
}
