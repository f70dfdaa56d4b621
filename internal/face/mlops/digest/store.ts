import type { Sql, Transaction } from "../../../platform/postgres/database.ts";
import type { GalleryId } from "../../shared/gallery.ts";

/** Of enrolments' faces in galleries, what was written last: `digestOf` the templates, by which other faces are told from them. */
export interface DigestStore {
  /** Notes what is written of an enrolment, in place of what was. It goes with the enrolment. */
  record(tx: Transaction, enrolmentId: string, gallery: GalleryId, digest: Uint8Array): Promise<void>;
  /** What was written of enrolments in a gallery, by their ids; those of which it is not known are left out. */
  of(sql: Sql, gallery: GalleryId, enrolmentIds: readonly string[]): Promise<ReadonlyMap<string, Uint8Array>>;
  /** Forgets former generations of a gallery. */
  forgetBefore(tx: Transaction, gallery: GalleryId): Promise<void>;
}
