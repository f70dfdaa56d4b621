import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createBell } from "../../../platform/lifecycle/bell.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { FaceWriter } from "../../shared/face-writer.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import type { ErasableFaces } from "./faces.ts";
import type { ErasureSaga } from "./saga.ts";
import type { ErasureStore, StoredErasure } from "./store.ts";

/** Erasures that are taken up at a time, and worked on at once. */
const takenUpMax = 16;
/** Whoever has taken one up has so many pauses of a sweep before another may. */
const takenUpForPauses = 2;
/** How long one waits for who decides at doors before it is left for the next sweep. */
const waitMs = 100;

/** Goes on with erasures until each has its receipt, and takes faces off the deny-lists in the end. */
export interface ErasureSweeper extends Component {
  /** Has it look at once. */
  wake(): void;
}

/** Each process runs one: an erasure is taken up for a while, and taking a step twice does no harm. */
export function createErasureSweeper(deps: {
  readonly database: Pick<Database, "sql">;
  readonly erasures: Pick<ErasureStore, "takeUp" | "forgotten">;
  readonly saga: Pick<ErasureSaga, "advance">;
  readonly faces: Pick<ErasableFaces, "left" | "remove" | "scrub">;
  readonly writer: Pick<FaceWriter, "forgetDenials">;
  readonly galleriesOf: (branchIds: readonly string[]) => Promise<readonly GalleryId[]>;
  readonly denialKeptMs: number;
  /** Pause between two sweeps, in milliseconds. */
  readonly everyMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}): ErasureSweeper {
  const { database, erasures, saga, faces, writer, galleriesOf, denialKeptMs, everyMs, clock, log } = deps;
  const takenUpForMs = takenUpForPauses * everyMs;
  const bell = createBell();
  const stopping = new AbortController();
  const { signal } = stopping;
  let running: Promise<void> = Promise.resolve();

  /** Takes a face off the deny-lists whose receipt is old: whatever was on its way then has come, and was denied. */
  const forget = async (erasure: StoredErasure): Promise<void> => {
    const galleries = await galleriesOf(erasure.branchIds);
    const left = await faces.left(erasure, galleries);
    if (left !== undefined) {
      log.error("an erased face came back into the store, where it was denied: it is removed again", factsOf(erasure));
      await faces.remove(left, galleries);
      await faces.scrub(left);
      return; // Looked at again by the next sweep.
    }
    for (const branchId of erasure.branchIds) await writer.forgetDenials(branchId, [erasure.enrolmentId]);
    await erasures.forgotten(database.sql, erasure.erasureId);
  };

  const workOn = async (erasure: StoredErasure): Promise<void> => {
    try {
      if (erasure.receipt !== "") return await forget(erasure);
      const after = await saga.advance(erasure, waitMs, signal);
      if (after.receipt !== "") log.info("a face is erased for good", factsOf(erasure));
    } catch (error) {
      if (!signal.aborted) log.warn("an erasure cannot go on yet", { ...factsOf(erasure), err: error });
    }
  };

  const sweep = async (): Promise<void> => {
    let taken: readonly StoredErasure[];
    do {
      const at = { nowMs: clock.now(), forMs: takenUpForMs, aheadMs: denialKeptMs + takenUpForMs };
      taken = await erasures.takeUp(database.sql, at, takenUpMax);
      await Promise.all(taken.map(workOn));
    } while (taken.length === takenUpMax && !signal.aborted);
  };

  return {
    name: "face erasure sweeper",
    wake: bell.ring,
    start: () => {
      running = (async () => {
        while (!signal.aborted) {
          bell.reset();
          await sweep().catch((error: unknown) => log.warn("a sweep of erasures failed", { err: error }));
          await bell.wait(clock, everyMs, signal);
        }
      })();
      return Promise.resolve();
    },
    stop: () => {
      stopping.abort();
      return running;
    },
  };
}

function factsOf({ erasureId, enrolmentId }: StoredErasure): Readonly<Record<string, string>> {
  return { erasure_id: erasureId, enrolment_id: enrolmentId };
}
