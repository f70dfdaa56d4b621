import type { ChangeId } from "./change-stream.ts";
import type { ActiveGallery, FaceModelRecord, GalleryId, KeyedGallery } from "./gallery.ts";

/** Most faces that an enrolment has. */
export const facesMax = 10;

/** An enrolment. */
export interface EnrolmentName {
  readonly memberId: string;
  readonly enrolmentId: string;
}

/** What came of making a gallery the one that doors decide by. */
export type ActivateOutcome =
  | { readonly kind: "done"; readonly active: ActiveGallery; readonly changeId: ChangeId }
  /** The record is not of the revision that was named, but this. */
  | { readonly kind: "conflict"; readonly active: ActiveGallery | undefined };

/** What came of writing a model. */
export type WriteModelOutcome =
  | { readonly kind: "done"; readonly changeId: ChangeId }
  /** The store has a later revision already. */
  | { readonly kind: "stale" };

/**
 * Writes to the face Redis, for mlops. Each write is one step: vector set, float32 copies and the entry of the change stream together, or nothing. When it resolves it
 * is on disk, and every look-up that begins sees it. All throw UNAVAILABLE, reason STORE_UNAVAILABLE, after which it may have happened: each write names the state after
 * it, so whoever does not know writes it again. RESOURCE_EXHAUSTED, reason STORE_FULL: nothing happened. A `ChangeId` is of the write's last entry: whoever has
 * applied that one has applied the write.
 */
export interface FaceWriter {
  /**
   * Makes the faces of an enrolment in galleries exactly these, 1 to `facesMax` in each: enrols, adds, replaces. The galleries are written
   * together.
   */
  put(
    enrolment: EnrolmentName,
    faces: readonly { readonly gallery: GalleryId; readonly templates: readonly Float32Array[] }[],
  ): Promise<ChangeId>;
  /** Takes all faces of an enrolment out of galleries, together. None there is no error. */
  remove(enrolment: EnrolmentName, galleries: readonly GalleryId[]): Promise<ChangeId>;
  /** Puts an enrolment on the deny-lists of branches, together: no look-up of their doors that begins after it finds its faces. */
  deny(enrolmentId: string, branchIds: readonly string[], atMs: number): Promise<ChangeId>;
  /** Takes enrolments off a branch's deny-list, whose faces are gone for good and whose ids will name nothing any more. No change is told. */
  forgetDenials(branchId: string, enrolmentIds: readonly string[]): Promise<void>;
  /**
   * Makes a gallery the one that its branch's doors decide by, if the record has the revision `ifRevision`, 0 for none; the new one is one higher. Asked again after it was done: done.
   */
  activate(gallery: KeyedGallery, ifRevision: number): Promise<ActivateOutcome>;
  /** Writes a model, unless the store has a later revision of it. */
  putModel(model: FaceModelRecord): Promise<WriteModelOutcome>;
  /** Takes a gallery by which no door decides out of the store, in many small steps; the change is told first. Nobody may put faces into it meanwhile. */
  dropGallery(gallery: GalleryId, signal: AbortSignal): Promise<ChangeId>;
  /** What the active gallery of a branch is now. */
  readActive(branchId: string): Promise<ActiveGallery | undefined>;
}
