import { isOnCalendar } from "../../../internal/platform/clock/calendar.ts";
import { embeddingBytes } from "./embedding.ts";
import type { FieldLine } from "./read-lines.ts";

/** Embeddings of a person by one model. */
const embeddingsMax = 10;

/** What a line of a gallery says: a person's face, and the consent to it where the line tells it. */
export interface FaceLine {
  readonly memberId: string;
  readonly embeddings: readonly Uint8Array<ArrayBuffer>[];
  readonly consentVersion: string | undefined;
  readonly consentTimeMs: number | undefined;
}

/** How such lines look, for the help. */
export const faceLineHelp = `A line of JSON: {"member_id": "…", "embeddings": ["<base64>", …]}, or "embedding" for a single one; or a table with the
columns member_id and embedding, which may stand several times. An embedding is little-endian float32, 4 bytes a number, in base64; up to 10
of a person. consent_version and consent_time may stand on each line.`;

/** Reads a line of a gallery; in a sentence what is wrong with it. */
export function faceOfLine(fields: FieldLine["fields"]): FaceLine | { readonly bad: string } {
  if ("bad" in fields) return fields;
  const one = (name: string): string | undefined => fields.get(name)?.[0];
  const memberId = one("member_id") ?? "";
  if (!/^[!-~]{1,64}$/.test(memberId)) return { bad: "it has no member_id, or one that cannot be a person's id" };
  const texts = [...(fields.get("embedding") ?? []), ...(fields.get("embeddings") ?? [])];
  if (texts.length === 0) return { bad: "it has no embedding" };
  if (texts.length > embeddingsMax) return { bad: `it has ${texts.length} embeddings, more than ${embeddingsMax}` };
  const embeddings: Uint8Array<ArrayBuffer>[] = [];
  for (const text of texts) {
    const bytes = embeddingBytes(text);
    if ("bad" in bytes) return bytes;
    embeddings.push(bytes);
  }
  const time = one("consent_time");
  const consentTimeMs = time === undefined ? undefined : momentOf(time);
  if (Number.isNaN(consentTimeMs)) return { bad: "its consent_time is no date and no time with its offset" };
  return { memberId, embeddings, consentVersion: one("consent_version"), consentTimeMs };
}

function momentOf(text: string): number {
  const isMoment = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text);
  return isMoment && isOnCalendar(text) ? Date.parse(text) : Number.NaN;
}
