import { isFinal, type MatchRule, rescore, type SearchResult } from "../../shared/face-engine.ts";
import { errorBound, quantiseQuery } from "./quantise.ts";
import type { Face, Rows } from "./rows.ts";
import { foundMax } from "./scan-memory.ts";
import type { Scanner } from "./scanner.ts";

/**
 * How many faces are looked at closely at first: more than one person has. To look at one takes as long as to scan twenty, so that many would cost more than the scan of a thousand; and hardly ever are they
 * not enough, since faces that lie so close together that whole numbers cannot tell them apart are few.
 */
const kFirst = 16;
/** By how much more each time that they are not enough: all is scanned again. */
const kGrowth = 4;

/** What is searched. */
export interface Searched {
  readonly rows: Rows;
  /** Enrolments that open no door. */
  readonly denied: ReadonlySet<string>;
}

/**
 * The likest faces, exactly, as they are when it resolves; with `decideBy` those that decide the same. A scan of the whole numbers says which faces to compare by their templates;
 * the result is final when no face that the scan did not find can change it (`isFinal`). Throws as `Scanner.scan` does.
 */
export async function searchRows(
  { rows, denied }: Searched,
  template: Float32Array,
  decideBy: MatchRule | undefined,
  scanner: Pick<Scanner, "scan">,
  signal: AbortSignal,
): Promise<SearchResult> {
  const query = quantiseQuery(template);
  for (let k = kFirst; k <= foundMax; k *= kGrowth) {
    const layout = rows.layout();
    const { version } = rows;
    const { slots, floor } = await scanner.scan({ ...layout, values: query.values, k }, signal);
    const since = rows.since(version);
    if (since === undefined) continue; // More was written meanwhile than is remembered.
    // A slot may hold another face by now: then that one was written since.
    const found = new Set(Array.from(slots, (slot) => rows.at(slot)).filter((face) => face !== undefined));
    for (const face of since) found.add(face);
    const result = rescore(template, allowed(found, denied));
    const restCosineMax = k >= layout.rows ? -Infinity : floor * query.scale + errorBound(query, rows.errors);
    if (isFinal(result, restCosineMax, decideBy)) return result;
  }
  return rescore(template, allowed(rows.all(), denied));
}

/** Of one person, exactly. */
export function searchPerson({ rows, denied }: Searched, template: Float32Array, memberId: string): SearchResult {
  return rescore(template, allowed(rows.facesOf(memberId), denied));
}

function allowed(faces: Iterable<Face>, denied: ReadonlySet<string>): readonly Face[] {
  return Array.from(faces).filter(({ enrolmentId }) => !denied.has(enrolmentId));
}
