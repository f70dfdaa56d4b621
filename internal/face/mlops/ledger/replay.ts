import type { Clock } from "../../../platform/clock/clock.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { markFresh, readRunId } from "../../shared/fresh.ts";
import type { EnrolmentName } from "../../shared/face-writer.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import { denyKey, freshKey, readElementName } from "../../shared/key-schema.ts";
import type { ErasableFaces } from "../erasure/faces.ts";
import type { ErasureStore, LedgerEntry } from "../erasure/store.ts";
import { galleryNames, type NamesSource } from "./gallery-names.ts";

/** Entries that are replayed at a time. */
const pageEntries = 500;
/** Denials that are written at once. */
const atOnceMax = 64;
/** Pause between two looks which process answers, in milliseconds: doors decide by their own copies until the mark is there. */
const lookEveryMs = 250;
const sources: readonly NamesSource[] = ["set", "copy", "names"];

/** Replays the ledger of erasures. */
export interface LedgerReplay {
  /**
   * Sees to it that the face store is marked fresh for the process that answers, and only after the ledger was replayed to it. Does nothing for one for
   * which it is. Throws UNAVAILABLE, reason STORE_UNAVAILABLE.
   */
  makeFresh(signal: AbortSignal): Promise<void>;
  /** Does so again and again. */
  readonly component: Component;
}

/** What a replay works on. */
interface ReplayDeps {
  readonly database: Pick<Database, "sql">;
  readonly erasures: Pick<ErasureStore, "denials" | "recorded" | "denied">;
  readonly store: RedisStore;
  readonly faces: Pick<ErasableFaces, "deny" | "remove" | "scrub">;
  /** All galleries that there are or were, of all branches. */
  readonly allGalleries: () => AsyncIterable<readonly GalleryId[]>;
  /** What else doors must find before they decide by the store, such as which models decide. */
  readonly beforeFresh: (signal: AbortSignal) => Promise<void>;
  readonly denialKeptMs: number;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * A face store that was started may have been given an old file: faces stand in it that were erased since, and denials are missing. Which process answers is read first: a
 * ledger entry that is written after that is denied by who writes it, in that process or a later one, for which the ledger is replayed anew.
 */
export function createLedgerReplay(deps: ReplayDeps): LedgerReplay {
  const { store, clock, log } = deps;
  const makeFresh = async (signal: AbortSignal): Promise<void> => {
    const runId = await readRunId(store);
    if ((await store.client.get(freshKey)) === runId) return;
    await replayDenials(deps, signal);
    const found = await removeErased(deps, signal);
    if (found > 0)
      log.error("the face store held faces that were erased: it was started from an old file", { enrolments: found });
    await deps.beforeFresh(signal);
    await markFresh(store, runId);
    log.info("the ledger of erasures is replayed: doors may decide by the face store", { run_id: runId });
  };
  return {
    makeFresh,
    component: createLoop({
      name: "ledger of erasures",
      clock,
      everyMs: lookEveryMs,
      work: makeFresh,
      onFailure: (error) => log.warn("the ledger of erasures cannot be replayed yet", { err: error }),
    }),
  };
}

/** Denies again whatever is to be denied and is not. */
async function replayDenials({ database, erasures, store, faces }: ReplayDeps, signal: AbortSignal): Promise<void> {
  for (let after = ""; ;) {
    signal.throwIfAborted();
    const page = await erasures.denials(database.sql, after, pageEntries);
    const last = page.at(-1);
    if (last === undefined) return;
    after = last.erasureId;
    const missing: LedgerEntry[] = [];
    await inTurns(page, async (entry) => {
      const { enrolmentId } = entry;
      const held = await Promise.all(
        entry.branchIds.map((branchId) => store.client.hexists(denyKey(branchId), enrolmentId)),
      );
      if (held.includes(0)) missing.push(entry);
    });
    await inTurns(missing, (entry) => faces.deny(entry));
  }
}

/** A face that stands in the ledger and in galleries of the store, there under the name of its person. */
interface FoundFace {
  readonly entry: LedgerEntry;
  readonly face: EnrolmentName;
  readonly galleries: GalleryId[];
}

/** Denies and removes whatever stands in the ledger and in the store. Returns how many enrolments that were that had been erased for good. */
async function removeErased(deps: ReplayDeps, signal: AbortSignal): Promise<number> {
  const { database, erasures, store, faces, allGalleries, denialKeptMs, clock } = deps;
  const found = new Map<string, FoundFace>();
  const note = (entry: LedgerEntry, face: EnrolmentName, gallery: GalleryId): void => {
    const known = found.get(entry.erasureId);
    if (known === undefined) found.set(entry.erasureId, { entry, face, galleries: [gallery] });
    else if (!known.galleries.includes(gallery)) known.galleries.push(gallery);
  };
  for await (const page of allGalleries()) {
    for (const gallery of page) {
      for (const source of sources) {
        for await (const names of galleryNames(store, gallery, source)) {
          signal.throwIfAborted();
          const byEnrolment = new Map(names.map(readElementName).map((face) => [face.enrolmentId, face]));
          for (const entry of await erasures.recorded(database.sql, [...byEnrolment.keys()])) {
            note(entry, byEnrolment.get(entry.enrolmentId)!, gallery);
          }
        }
      }
    }
  }
  await inTurns([...found.values()], async ({ entry, face, galleries }) => {
    await faces.deny(entry);
    await faces.remove(face, galleries);
    await faces.scrub(face);
  });
  const enrolmentIds = [...found.values()].map(({ entry }) => entry.enrolmentId);
  if (enrolmentIds.length > 0) await erasures.denied(database.sql, enrolmentIds, clock.now() + denialKeptMs);
  return [...found.values()].filter(({ entry }) => entry.isSigned).length;
}

/** Does `work` for each, a bounded number at once. */
async function inTurns<T>(all: readonly T[], work: (each: T) => Promise<unknown>): Promise<void> {
  for (let at = 0; at < all.length; at += atOnceMax) await Promise.all(all.slice(at, at + atOnceMax).map(work));
}
