import type { GalleryId } from "./gallery.ts";

/**
 * The key schema of the face Redis. Every key has the hash tag `{face}`, so that MULTI and scripts reach all of them on Redis
 * Cluster too. `{face}:g:` is written by mlops alone, `{face}:d:` by access alone; each reads the other's.
 *
 * | key | type | holds |
 * | --- | --- | --- |
 * | `{face}:g:model:<model>` | hash | a face model (`gallery.ts`) |
 * | `{face}:g:active:<branch>` | hash | the gallery that the branch's doors decide by, and the one of the former model (`gallery.ts`) |
 * | `{face}:g:set:<gallery>` | vector set | the templates of a gallery, in int8, by element name |
 * | `{face}:g:copy:<gallery>` | hash | the same templates in float32, little-endian, by element name |
 * | `{face}:g:names:<gallery>` | sorted set, all of score 0 | the element names, so that those of a person are found |
 * | `{face}:g:error:<gallery>` | sorted set of one | the largest quantisation error of any template that the set has ever held (`quantisation.ts`) |
 * | `{face}:g:changes` | stream | every change to what is above and below (`change-stream.ts`) |
 * | `{face}:g:deny:<branch>` | hash | enrolments that open no door any more: id -> since when, milliseconds |
 * | `{face}:g:fresh` | string | run id of the Redis process for which mlops has replayed its erasures (`fresh.ts`) |
 *
 * `<gallery>` is `<branch>/<model>/<generation>`, an element name `<member>/<enrolment>/<index>`; each part is percent-encoded, so that none
 * contains a slash.
 */
const prefix = "{face}:g:";

/** The stream of changes. */
export const changesKey = `${prefix}changes`;
/** The fresh mark. */
export const freshKey = `${prefix}fresh`;
/** The one member of a gallery's `error`. */
export const errorMember = "max";

/** The key of a face model. */
export function modelKey(modelId: string): string {
  return `${prefix}model:${encode(modelId)}`;
}

/** The key of a branch's active gallery. */
export function activeKey(branchId: string): string {
  return `${prefix}active:${encode(branchId)}`;
}

/** The key of a branch's deny-list. */
export function denyKey(branchId: string): string {
  return `${prefix}deny:${encode(branchId)}`;
}

/** The keys of a gallery. */
export interface GalleryKeys {
  readonly set: string;
  readonly copy: string;
  readonly names: string;
  readonly error: string;
}

/** The keys of a gallery. */
export function galleryKeys(gallery: GalleryId): GalleryKeys {
  const suffix = `${encode(gallery.branchId)}/${encode(gallery.modelId)}/${gallery.generation}`;
  return {
    set: `${prefix}set:${suffix}`,
    copy: `${prefix}copy:${suffix}`,
    names: `${prefix}names:${suffix}`,
    error: `${prefix}error:${suffix}`,
  };
}

/** What an element of a gallery is: one face of an enrolment, counted from 0. */
export interface FaceElement {
  readonly memberId: string;
  readonly enrolmentId: string;
  readonly index: number;
}

/** The name of an element. */
export function elementName(element: FaceElement): string {
  return `${encode(element.memberId)}/${encode(element.enrolmentId)}/${element.index}`;
}

/** Reads an element's name. Throws on one that `elementName` does not make. */
export function readElementName(name: string): FaceElement {
  const [member, enrolment, index, ...more] = name.split("/");
  if (member === undefined || enrolment === undefined || index === undefined || more.length > 0)
    throw new Error("not the name of a face");
  return { memberId: decodeURIComponent(member), enrolmentId: decodeURIComponent(enrolment), index: Number(index) };
}

/** The names of all faces of a person, as bounds of ZRANGE ... BYLEX: "0" follows the slash. */
export function namesOf(memberId: string): readonly [min: string, max: string] {
  return [`[${encode(memberId)}/`, `(${encode(memberId)}0`];
}

function encode(part: string): string {
  return encodeURIComponent(part);
}
