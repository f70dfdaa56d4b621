import type { Source } from "../import/source.ts";
import { Failure } from "../terminal/failure.ts";
import { centred, cosineOf, embeddingBytes, embeddingValues } from "./embedding.ts";
import { faceOfLine } from "./face-line.ts";
import { readFieldLines, type FieldLine } from "./read-lines.ts";

/** What a model says of how its embeddings are compared. */
export interface Comparison {
  readonly dimensions: number;
  readonly mean: Float32Array;
}

/**
 * The cosines of a file of pairs: the columns one and other, an embedding each. Every line must be good: what a threshold is computed from has
 * no holes. Throws a usage failure that names the line.
 */
export async function readPairScores(source: Source, comparison: Comparison): Promise<number[]> {
  const scores: number[] = [];
  for await (const { line, fields } of readFieldLines(source)) {
    const [one, other] = ["one", "other"].map((name) => faceOf(textOf(fields, name), comparison));
    if (one === undefined || other === undefined || "bad" in one || "bad" in other) {
      const bad = [one, other].flatMap((face) => (face !== undefined && "bad" in face ? [face.bad] : []));
      throw new Failure("usage", `${source.name}, line ${line}: ${bad[0] ?? "it is no pair"}`);
    }
    scores.push(cosineOf(one, other));
  }
  return scores;
}

/** The faces of a gallery's file by person, as they are compared. Throws as `readPairScores` does. */
export async function readGallery(
  source: Source,
  comparison: Comparison,
): Promise<readonly (readonly Float32Array[])[]> {
  const people = new Map<string, Float32Array[]>();
  for await (const { line, fields } of readFieldLines(source)) {
    const face = faceOfLine(fields);
    if ("bad" in face) throw new Failure("usage", `${source.name}, line ${line}: ${face.bad}`);
    const own = people.get(face.memberId) ?? [];
    for (const embedding of face.embeddings) {
      const compared = comparable(embedding, comparison);
      if ("bad" in compared) throw new Failure("usage", `${source.name}, line ${line}: ${compared.bad}`);
      own.push(compared);
    }
    people.set(face.memberId, own);
  }
  return [...people.values()];
}

function textOf(fields: FieldLine["fields"], name: string): string | { readonly bad: string } {
  if ("bad" in fields) return fields;
  return fields.get(name)?.[0] ?? { bad: `it has no "${name}"` };
}

function faceOf(
  text: string | { readonly bad: string },
  comparison: Comparison,
): Float32Array | { readonly bad: string } {
  if (typeof text !== "string") return text;
  const bytes = embeddingBytes(text);
  return "bad" in bytes ? bytes : comparable(bytes, comparison);
}

function comparable(bytes: Uint8Array, { dimensions, mean }: Comparison): Float32Array | { readonly bad: string } {
  const values = embeddingValues(bytes);
  if (values.length !== dimensions)
    return { bad: `an embedding has ${values.length} numbers, and the model ${dimensions}` };
  return centred(values, mean) ?? { bad: "nothing is left of an embedding less the model's mean" };
}
