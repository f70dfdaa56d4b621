import type { FaceChange } from "../../shared/change-stream.ts";
import type { ActiveGallery, FaceModelRecord } from "../../shared/gallery.ts";
import { type Applied, type BranchCopy, createBranchCopy } from "./branch-copy.ts";
import type { RecordChange } from "./records.ts";
import type { ScanMemory } from "./scan-memory.ts";

/** The copies of branches in this process, within a bound of memory: those that were used last. */
export interface Copies {
  /** The copy of a branch, whole or not, which thereby becomes the one that was used last. */
  use(branchId: string): BranchCopy | undefined;
  /** Whether it is still the copy of its branch. */
  has(copy: BranchCopy): boolean;
  /** Begins an empty copy in the place of the one that there is. */
  begin(active: ActiveGallery, model: FaceModelRecord): BranchCopy;
  /** Makes room for so many more bytes by dropping others than that of `branchId`, the least recently used first. False: there is too little, and nothing was dropped. */
  makeRoom(bytes: number, branchId: string): boolean;
  /** Applies a change to all. */
  apply(change: FaceChange): void;
  applyRecord(change: RecordChange): void;
  drop(copy: BranchCopy): void;
  dropAll(): void;
  all(): Iterable<BranchCopy>;
  readonly bytes: number;
  /** Whole or not. */
  readonly count: number;
}

/** Why a copy was dropped that is still of use. */
export type Dropped = "outdated" | "no_room" | "lost";

interface CopiesOptions {
  readonly memory: ScanMemory;
  /** Most memory that all copies take. */
  readonly bytesMax: number;
  /** Told of each copy that is dropped by itself. */
  readonly dropped: (branchId: string, why: Dropped) => unknown;
}

/** Makes none yet. */
export function createCopies(options: CopiesOptions): Copies {
  const { memory, bytesMax, dropped } = options;
  /** In the order of their last use. */
  const copies = new Map<string, BranchCopy>();

  const bytes = (): number => {
    let sum = 0;
    for (const copy of copies.values()) sum += copy.bytes;
    return sum;
  };
  const drop = (copy: BranchCopy): void => {
    if (copies.get(copy.branchId) !== copy) return;
    copies.delete(copy.branchId);
    copy.rows.free();
  };
  const makeRoom = (wanted: number, branchId: string): boolean => {
    const own = copies.get(branchId)?.bytes ?? 0;
    if (own + wanted > bytesMax) return false;
    for (const copy of copies.values()) {
      if (bytes() + wanted <= bytesMax) break;
      if (copy.branchId === branchId) continue;
      drop(copy);
      dropped(copy.branchId, "no_room");
    }
    return true;
  };
  const applyTo = (copy: BranchCopy, change: FaceChange): Applied => {
    const applied = copy.apply(change);
    if (applied === "outdated") return applied;
    // As the copy may have grown by it.
    if (!makeRoom(0, copy.branchId)) return "no_room";
    return applied === "no_room" ? copy.apply(change) : applied;
  };
  return {
    use: (branchId) => {
      const copy = copies.get(branchId);
      if (copy === undefined) return undefined;
      copies.delete(branchId);
      copies.set(branchId, copy);
      return copy;
    },
    has: (copy) => copies.get(copy.branchId) === copy,
    begin: (active, model) => {
      const former = copies.get(active.branchId);
      if (former !== undefined) drop(former);
      const copy = createBranchCopy(memory, active, model);
      copies.set(active.branchId, copy);
      return copy;
    },
    makeRoom,
    apply: (change) => {
      for (const copy of copies.values()) {
        const applied = applyTo(copy, change);
        if (applied === "applied") continue;
        drop(copy);
        dropped(copy.branchId, applied);
      }
    },
    applyRecord: (change) => {
      for (const copy of copies.values()) copy.applyRecord(change);
    },
    drop,
    dropAll: () => {
      for (const copy of copies.values()) {
        drop(copy);
        dropped(copy.branchId, "lost");
      }
    },
    all: () => copies.values(),
    get bytes() {
      return bytes();
    },
    get count() {
      return copies.size;
    },
  };
}
