import type { ChangeId } from "../../shared/change-stream.ts";
import type { EnrolmentName } from "../../shared/face-writer.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import type { StoredErasure } from "./store.ts";

/** Names what is to be erased in the face store. */
export type ErasedFace = Pick<StoredErasure, "enrolmentId" | "memberId" | "branchIds" | "createTimeMs">;

/** A template of a face, and the gallery that it was turned for. */
export interface ProbeTemplate {
  readonly gallery: GalleryId;
  readonly template: Float32Array;
}

/**
 * What erasures do in the face store. All may be done again, and throw UNAVAILABLE, reason STORE_UNAVAILABLE, after which a write may have been done.
 */
export interface ErasableFaces {
  /** Puts the enrolment on the deny-lists of its branches: none of their doors opens for it, even if a put that was on its way brings it back. */
  deny(face: ErasedFace): Promise<ChangeId>;
  /** Its templates as far as they are still there, copies or told changes: what shows that a search no longer finds them. */
  probes(face: ErasedFace, galleries: readonly GalleryId[]): Promise<readonly ProbeTemplate[]>;
  /** Takes all its faces out of galleries: vector sets, copies, names. */
  remove(face: EnrolmentName, galleries: readonly GalleryId[]): Promise<ChangeId>;
  /** Whether a search for a template, which leaves nobody out, finds the enrolment. */
  isFound(face: ErasedFace, probe: ProbeTemplate): Promise<boolean>;
  /** Removes changes that carry its templates. Whoever follows the changes has been told that the face is gone, and needs them no more. */
  scrub(face: Pick<ErasedFace, "enrolmentId">): Promise<void>;
  /** What is left of it in galleries, by the names that its faces have there; `undefined`: nothing. The ledger may have forgotten whose face it was. */
  left(
    face: Pick<ErasedFace, "enrolmentId" | "memberId">,
    galleries: readonly GalleryId[],
  ): Promise<EnrolmentName | undefined>;
}
