import { storeErrors } from "../../../platform/errors/store-errors.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { floatsOf } from "../../shared/embedding.ts";
import { type EnrolmentName, facesMax } from "../../shared/face-writer.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import { elementName, galleryKeys } from "../../shared/key-schema.ts";

/** How an enrolment's faces stand in a gallery. */
export interface StoredFaces {
  /** The copies that decide, in their order; a place without one is left out. */
  readonly copies: readonly Float32Array[];
  /** Whether just these copies are searched, as they are, and listed by name, at the first places. */
  readonly isWhole: boolean;
}

/** Reads the copies of enrolments in a gallery, in one round trip. */
export async function readCopies(
  { client }: RedisStore,
  gallery: GalleryId,
  enrolments: readonly EnrolmentName[],
): Promise<readonly (readonly Float32Array[])[]> {
  const pipeline = client.pipeline();
  for (const enrolment of enrolments) {
    const names = Array.from({ length: facesMax }, (_, index) => elementName({ ...enrolment, index }));
    pipeline.hmgetBuffer(galleryKeys(gallery).copy, ...names);
  }
  const replies = (await pipeline.exec()) ?? [];
  return enrolments.map((_, place) => {
    const [error, copies] = replies[place] ?? [storeErrors.unavailable()];
    if (error !== null) throw error;
    return (copies as readonly (Buffer | null)[]).filter((copy) => copy !== null).map(floatsOf);
  });
}

/** Reads how enrolments stand in a gallery, in one round trip. */
export async function readStoredFaces(
  { client }: RedisStore,
  gallery: GalleryId,
  enrolments: readonly EnrolmentName[],
): Promise<readonly StoredFaces[]> {
  const { set, copy, names } = galleryKeys(gallery);
  const pipeline = client.pipeline();
  for (const enrolment of enrolments) {
    const elements = Array.from({ length: facesMax }, (_, index) => elementName({ ...enrolment, index }));
    pipeline.hmgetBuffer(copy, ...elements);
    pipeline.zmscore(names, ...elements);
    for (const element of elements) pipeline.callBuffer("VEMB", set, element, "RAW");
  }
  const replies = (await pipeline.exec()) ?? [];
  const take = (at: number): unknown => {
    const [error, reply] = replies[at] ?? [storeErrors.unavailable()];
    if (error !== null) throw error;
    return reply;
  };
  const commands = 2 + facesMax;
  return enrolments.map((_, place) => {
    const first = place * commands;
    const copies = (take(first) as readonly (Buffer | null)[]).map((bytes) => bytes && floatsOf(bytes));
    const listed = take(first + 1) as readonly (string | null)[];
    const searched = copies.map((_copy, index) => take(first + 2 + index) as RawVector | null);
    return {
      copies: copies.filter((template) => template !== null),
      isWhole: copies.every(
        (template, index) =>
          (template === null) === (listed[index] === null) &&
          isVectorOf(searched[index] ?? null, template) &&
          // None before it is missing.
          (template === null || index === 0 || copies[index - 1] !== null),
      ),
    };
  });
}

/** What VEMB ... RAW answers: kind of quantisation, numbers, length, and for int8 the largest number. */
type RawVector = readonly [kind: Buffer, numbers: Buffer, length: Buffer, largest?: Buffer];

/** Largest value of a quantised number. */
const quantMax = 127;

/** Whether a vector of the set is the template in int8. An edge between two values may have been rounded either way. */
function isVectorOf(vector: RawVector | null, template: Float32Array | null): boolean {
  if (vector === null || template === null) return vector === template;
  const numbers = new Int8Array(vector[1]);
  if (numbers.length !== template.length) return false;
  let largest = 0;
  for (const value of template) largest = Math.max(largest, Math.abs(value));
  return template.every((value, place) => Math.abs((value / largest) * quantMax - (numbers[place] as number)) < 0.51);
}
