import { createHash } from "node:crypto";
import { ConnectError } from "@connectrpc/connect";
import type { Source } from "../import/source.ts";
import { reasonOf } from "../terminal/failure.ts";
import { faceOfLine, type FaceLine } from "./face-line.ts";
import { readFieldLines } from "./read-lines.ts";

/** A line that was not taken. */
export interface RefusedLine {
  readonly line: number;
  /** Empty where the line does not tell it. */
  readonly memberId: string;
  readonly why: string;
}

/** What came of an import so far. */
export interface FaceImportResult {
  /** Lines that were dealt with. */
  lines: number;
  /** Faces that this run enrolled. */
  enrolled: number;
  /** People who were enrolled already. */
  known: number;
  /** Lines that were not taken, and the first of them. */
  badCount: number;
  readonly bad: RefusedLine[];
  /** Offset up to which all lines are dealt with. */
  offset: number;
  readonly offsetStart: number;
}

/** A face as it is enrolled. */
export interface FaceToEnrol extends FaceLine {
  readonly consentVersion: string;
  readonly consentTimeMs: number;
  /** Names the request by its content: the same line has the same, whenever it is read. */
  readonly requestId: string;
}

/** Calls under way at once: enough that the disk writes several together. */
const atOnce = 16;

/** Refused lines of which the result tells word for word. */
export const badLinesMax = 1000;

/**
 * Enrols the faces of a gallery's lines. A run that was cut off, by kill -9 too, is run again: people who are enrolled are left out, and a
 * line whose answer never came has its old request id, so that nobody is enrolled twice. A bad line stops nothing. Rejects with what is no
 * line's fault; then all lines before `offset` are dealt with.
 */
export async function importFaces(
  source: Source,
  options: {
    /** What all lines have in common: it is part of their request ids. */
    readonly common: string;
    readonly consentVersion: string | undefined;
    readonly consentTimeMs: number | undefined;
    /** Ids of the people who are enrolled already. */
    readonly known: ReadonlySet<string>;
    /** Enrols one; resolves false where this person is enrolled already. */
    readonly enrol: (face: FaceToEnrol) => Promise<boolean>;
    readonly onProgress: (result: FaceImportResult) => void;
    readonly signal: AbortSignal;
    readonly result: FaceImportResult;
  },
): Promise<void> {
  const { known, signal, result } = options;
  const underWay = new Set<Promise<void>>();
  const done = createDoneOffset();
  let failure: { readonly error: unknown } | undefined;
  const finish = (end: number): void => {
    result.lines += 1;
    result.offset = done.finish(end);
    options.onProgress(result);
  };
  const refuse = (line: number, memberId: string, why: string): void => {
    result.badCount += 1;
    if (result.bad.length < badLinesMax) result.bad.push({ line, memberId, why });
  };
  const dealWith = async (line: number, end: number, face: FaceToEnrol): Promise<void> => {
    try {
      const outcome = await enrolLine(face, options);
      if (outcome === "enrolled") result.enrolled += 1;
      else if (outcome === "known") result.known += 1;
      else refuse(line, face.memberId, outcome.bad);
      finish(end);
    } catch (error) {
      failure ??= { error };
    }
  };
  for await (const { line, end, fields } of readFieldLines(source)) {
    if (signal.aborted || failure !== undefined) break;
    done.begin(end);
    const face = completed(faceOfLine(fields), options);
    if ("bad" in face || known.has(face.memberId)) {
      if ("bad" in face) refuse(line, "", face.bad);
      else result.known += 1;
      finish(end);
      continue;
    }
    while (underWay.size >= atOnce) await Promise.race(underWay);
    const enrolment = dealWith(line, end, face);
    underWay.add(enrolment);
    void enrolment.then(() => underWay.delete(enrolment));
  }
  await Promise.all(underWay);
  if (failure !== undefined) throw failure.error;
}

/** Reasons by which Muin refuses one person's face, and no other for that. */
const linesFault: ReadonlySet<string> = new Set([
  "FACE_KNOWN",
  "USER_NOT_FOUND",
  "EMBEDDING_INVALID",
  "CONSENT_REQUIRED",
]);

async function enrolLine(
  face: FaceToEnrol,
  { enrol }: { readonly enrol: (face: FaceToEnrol) => Promise<boolean> },
): Promise<"enrolled" | "known" | { readonly bad: string }> {
  try {
    return (await enrol(face)) ? "enrolled" : "known";
  } catch (error) {
    const reason = error instanceof ConnectError ? reasonOf(error) : undefined;
    if (!(error instanceof ConnectError) || reason === undefined || !linesFault.has(reason)) throw error;
    return { bad: `${error.rawMessage} (${reason})` };
  }
}

function completed(
  face: FaceLine | { readonly bad: string },
  options: {
    readonly common: string;
    readonly consentVersion: string | undefined;
    readonly consentTimeMs: number | undefined;
  },
): FaceToEnrol | { readonly bad: string } {
  if ("bad" in face) return face;
  const consentVersion = face.consentVersion ?? options.consentVersion;
  const consentTimeMs = face.consentTimeMs ?? options.consentTimeMs;
  if (consentVersion === undefined) return { bad: "it tells no consent_version, and --consent-version gives none" };
  if (consentTimeMs === undefined) return { bad: "it tells no consent_time, and --consent-time gives none" };
  const hash = createHash("sha256").update(
    JSON.stringify([options.common, face.memberId, consentVersion, consentTimeMs]),
  );
  for (const embedding of face.embeddings) hash.update(embedding);
  return { ...face, consentVersion, consentTimeMs, requestId: `faces-import-${hash.digest("base64url").slice(0, 32)}` };
}

/** Where all lines are done before, though they end out of order. */
function createDoneOffset(): { begin(end: number): void; finish(end: number): number } {
  const open: number[] = [];
  const finished = new Set<number>();
  let offset = 0;
  return {
    begin: (end) => void open.push(end),
    finish: (end) => {
      finished.add(end);
      for (let first = open[0]; first !== undefined && finished.delete(first); first = open[0]) {
        offset = first;
        open.shift();
      }
      return offset;
    },
  };
}
