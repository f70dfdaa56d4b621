import type { FaceEngine } from "../../shared/face-engine.ts";
import { type ActiveGallery, type FaceModelRecord, isSameGallery } from "../../shared/gallery.ts";
import type { BranchCopy, Known } from "./branch-copy.ts";
import type { Copies } from "./copies.ts";
import type { Scanner } from "./scanner.ts";
import { searchPerson, searchRows } from "./search.ts";

/** What this process knows of a branch. */
export interface BranchView {
  readonly active: ActiveGallery;
  readonly model: FaceModelRecord;
  /** The branch's record, as it is stored; `undefined` when there is none. */
  readonly branch: Buffer | undefined;
  /** A person's record, as it is stored; "unread" of who has no face here, too. */
  member(memberId: string): Known;
  /** How old it may be at most. */
  readonly ageMs: number;
}

/** Decides by what this process knows. */
export interface SnapshotEngine extends FaceEngine {
  /** What it knows of a branch. `undefined`: nothing, or what is older than it may be. */
  view(branchId: string): BranchView | undefined;
}

/**
 * The engine that asks the copies of this process. It gives what the store's engine gives for the same data; a branch without a whole copy, or one that is older than it may
 * be, has no snapshot, and is wanted from then on. Throws RESOURCE_EXHAUSTED, reason OVERLOADED, when too many scans wait.
 */
export function createSnapshotEngine(options: {
  readonly copies: Pick<Copies, "use" | "has">;
  readonly scanner: Pick<Scanner, "scan">;
  /** How old the copies may be at most, in milliseconds: Infinity when none may be used. */
  readonly ageMs: () => number;
  /** How old they may be to be used. 0: they are not. */
  readonly ageMsMax: number;
  /** Told of branches that are asked for and have no copy. */
  readonly wanted: (branchId: string) => unknown;
}): SnapshotEngine {
  const { copies, scanner, ageMs, ageMsMax, wanted } = options;
  const isYoung = (): boolean => ageMsMax > 0 && ageMs() <= ageMsMax;
  const isUsable = (copy: BranchCopy): boolean => copy.isReady && copies.has(copy) && isYoung();
  const find = (branchId: string): BranchCopy | undefined => {
    const copy = copies.use(branchId);
    if (copy === undefined && ageMsMax > 0) wanted(branchId);
    return copy !== undefined && isUsable(copy) ? copy : undefined;
  };
  return {
    view: (branchId) => {
      const copy = find(branchId);
      if (copy === undefined || copy.branch === "unread") return undefined;
      return {
        active: copy.active,
        model: copy.model,
        branch: copy.branch.record,
        member: (memberId) => copy.member(memberId),
        ageMs: ageMs(),
      };
    },
    search: async ({ gallery, template, memberId, decideBy }, signal) => {
      signal.throwIfAborted();
      const copy = find(gallery.branchId);
      if (copy === undefined) return { kind: "no_snapshot" };
      if (!isSameGallery(copy.active, gallery)) {
        // Whoever asks may know of a later one.
        const isLater = copy.active.revision > gallery.revision;
        return isLater ? { kind: "gallery_changed", active: copy.active } : { kind: "no_snapshot" };
      }
      const result =
        memberId === undefined
          ? await searchRows(copy, template, decideBy, scanner, signal)
          : searchPerson(copy, template, memberId);
      // The copy may have been dropped while it was searched.
      if (!isUsable(copy)) return { kind: "no_snapshot" };
      const person = result.best && copy.member(result.best.memberId);
      if (person === "unread") return { kind: "no_snapshot" };
      return { kind: "searched", result, source: "snapshot", ageMs: ageMs(), beside: person?.record };
    },
  };
}
