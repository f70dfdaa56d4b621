import type { KeyedGallery } from "../../shared/gallery.ts";
import type { EnrolmentName } from "../../shared/face-writer.ts";

/** The templates of an enrolment in one gallery, in the order of its embeddings. */
export interface GalleryFaces {
  readonly gallery: KeyedGallery;
  readonly templates: readonly Float32Array[];
}

/** What enrolments do in the face store. All throw UNAVAILABLE, reason STORE_UNAVAILABLE; a write may then have been done. */
export interface Faces {
  /** Makes the faces of an enrolment exactly these, in all galleries together. */
  put(enrolment: EnrolmentName, faces: readonly GalleryFaces[]): Promise<void>;
  /** The templates of an enrolment in a gallery. */
  read(enrolment: EnrolmentName, gallery: KeyedGallery): Promise<readonly Float32Array[]>;
  /** Sees to it that an enrolment opens no door, even by a put that is still on its way, and takes its faces out. */
  giveUp(enrolment: EnrolmentName, galleries: readonly KeyedGallery[], nowMs: number): Promise<void>;
  /** The greatest cosine of a template to a face of another person in a gallery; `undefined`: nobody else is there. */
  nearestOther(gallery: KeyedGallery, template: Float32Array, memberId: string): Promise<number | undefined>;
}

/** Whether templates are others than those of a digest; false while that is not known. */
export function isOther(templates: readonly Float32Array[], digest: Uint8Array | undefined): boolean {
  return digest !== undefined && !Buffer.from(digestOf(templates)).equals(digest);
}

/** Length of a digest, in bytes. */
export const digestBytes = 32;

/** SHA-256 of templates: tells whether others are the same. */
export function digestOf(templates: readonly Float32Array[]): Uint8Array {
  const hash = new Bun.CryptoHasher("sha256");
  for (const template of templates)
    hash.update(new Uint8Array(template.buffer, template.byteOffset, template.byteLength));
  return new Uint8Array(hash.digest());
}
