import type { ActiveGallery } from "./gallery.ts";
import { type FaceElement, readElementName } from "./key-schema.ts";

/** Whose face it is. */
export interface SearchQuery {
  /** As it was read last: by it the template was turned. */
  readonly gallery: ActiveGallery;
  /** `Templates.turn` of the embedding. */
  readonly template: Float32Array;
  /** Only this person's faces are compared. Default: everybody's. */
  readonly memberId?: string | undefined;
  /**
   * What `isMatch` will be asked of the result. An engine may then end a search as soon as nothing that it has not read can change the answer, or whose face it is when there is a match: best
   * and second need not be the likest of all where it is "no". Default: they are.
   */
  readonly decideBy?: MatchRule | undefined;
}

/** When a face is somebody's. */
export interface MatchRule {
  /** Least cosine. */
  readonly threshold: number;
  /** By how much the cosine must exceed that of the second person. */
  readonly margin: number;
}

/** The likest faces of a gallery, exactly: by float32 templates, leaving out who is on the deny-list. Cosines are of no use outside of a decision: they leave no process. */
export interface SearchResult {
  /** The likest face. `undefined`: nobody is enrolled. */
  readonly best: { readonly memberId: string; readonly enrolmentId: string; readonly score: number } | undefined;
  /** The likest face of another person than the best. `undefined`: there is nobody else. */
  readonly second: { readonly memberId: string; readonly score: number } | undefined;
}

/** What came of a search. */
export type SearchOutcome =
  | {
      readonly kind: "searched";
      readonly result: SearchResult;
      readonly source: "store" | "snapshot";
      /** How old a snapshot may be at most, in milliseconds; of the store, 0. */
      readonly ageMs: number;
      /** What `createStoreEngine` was told to read beside, for the best. */
      readonly beside?: Buffer | undefined;
    }
  /** Doors of the branch decide by another gallery now, or by none: turn the template for it, and search again. */
  | { readonly kind: "gallery_changed"; readonly active: ActiveGallery | undefined }
  /** The store may show people who were erased (`fresh.ts`). */
  | { readonly kind: "not_fresh" }
  /** There is no snapshot of the gallery, or it is older than it may be. */
  | { readonly kind: "no_snapshot" };

/** Searches galleries. Two engines, the store's and the snapshots', give the same result for the same data. */
export interface FaceEngine {
  /** Throws UNAVAILABLE, reason STORE_UNAVAILABLE, and RESOURCE_EXHAUSTED, reason OVERLOADED. Rejects with the signal's reason when that aborts. */
  search(query: SearchQuery, signal: AbortSignal): Promise<SearchOutcome>;
}

/** Whether a search found somebody: alike enough, and by `margin` more so than anybody else. */
export function isMatch(result: SearchResult, rule: MatchRule): boolean {
  const { best, second } = result;
  return best !== undefined && best.score >= rule.threshold && best.score - (second?.score ?? -1) >= rule.margin;
}

/**
 * Whether the result from those faces that were read is that of all, or, with `decideBy`, decides the same: no other face has a greater cosine than `restCosineMax`, which is
 * -Infinity when there is none.
 */
export function isFinal(result: SearchResult, restCosineMax: number, decideBy: MatchRule | undefined): boolean {
  if (restCosineMax === -Infinity) return true;
  const best = result.best?.score ?? -Infinity;
  const second = result.second?.score ?? -Infinity;
  if (best > restCosineMax && second > restCosineMax) return true;
  if (decideBy === undefined) return false;
  const { threshold, margin } = decideBy;
  if (best < threshold && restCosineMax < threshold) return true; // Nobody is alike enough.
  if (best <= restCosineMax) return false;
  return best - second < margin || best - restCosineMax >= margin;
}

/** A face that may be the likest. */
export interface Candidate {
  /** Name of its element. */
  readonly name: string;
  readonly template: Float32Array;
}

/**
 * The one rule by which faces are ranked, for both engines: the cosine of float32 templates, added up in float64 from the first number to the last. Of equal ones
 * the lower name comes first, so that the order of the candidates does not matter.
 */
export function rescore(template: Float32Array, candidates: Iterable<Candidate>): SearchResult {
  const people = new Map<string, { readonly element: FaceElement; readonly name: string; readonly score: number }>();
  for (const candidate of candidates) {
    const face = {
      element: readElementName(candidate.name),
      name: candidate.name,
      score: cosine(template, candidate.template),
    };
    const known = people.get(face.element.memberId);
    if (known === undefined || ranksBefore(face, known)) people.set(face.element.memberId, face);
  }
  let best;
  let second;
  for (const face of people.values()) {
    if (best === undefined || ranksBefore(face, best)) {
      second = best;
      best = face;
    } else if (second === undefined || ranksBefore(face, second)) second = face;
  }
  return {
    best: best && { memberId: best.element.memberId, enrolmentId: best.element.enrolmentId, score: best.score },
    second: second && { memberId: second.element.memberId, score: second.score },
  };
}

interface Ranked {
  readonly name: string;
  readonly score: number;
}

function ranksBefore(one: Ranked, other: Ranked): boolean {
  return one.score > other.score || (one.score === other.score && one.name < other.name);
}

/** The cosine of two templates: both have length 1. */
function cosine(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let place = 0; place < one.length; place += 1) sum += (one[place] as number) * (other[place] as number);
  return sum;
}
