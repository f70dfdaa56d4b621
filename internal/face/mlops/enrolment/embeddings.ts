import type { Refusal } from "../../../platform/errors/refusal.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import { floatsOf, readEmbedding, type EmbeddingFault } from "../../shared/embedding.ts";
import { refuse } from "../errors.ts";
import type { StoredModel } from "../model/store.ts";

/**
 * Reads embeddings for a model, each of length 1. Refused by the first that is none: `fieldOf` names its field in the request, and
 * nothing tells what it holds.
 */
export function readEmbeddings(
  embeddings: readonly Uint8Array[],
  model: Pick<StoredModel, "dimensions" | "mean">,
  fieldOf: (place: number) => string,
): readonly Float64Array[] | Refusal<"embeddingInvalid"> {
  const { dimensions } = model;
  const mean = model.mean.length === 0 ? undefined : floatsOf(model.mean);
  const units: Float64Array[] = [];
  for (const [place, bytes] of embeddings.entries()) {
    const read = readEmbedding(bytes, { dimensions, mean });
    if (read.fault !== undefined) {
      const violation = { field: fieldOf(place), description: describe(read.fault, dimensions) };
      return refuse("embeddingInvalid", { violations: [violation] });
    }
    units.push(read.unit);
  }
  return units;
}

function describe(fault: EmbeddingFault, dimensions: number): string {
  switch (fault) {
    case "wrong_length":
      return `must be ${dimensions} little-endian float32 values, ${dimensions * Float32Array.BYTES_PER_ELEMENT} bytes`;
    case "not_finite":
      return "must hold finite numbers";
    case "zero":
      return "has no direction: it is zero or next to it, or it is the model's mean";
    default:
      return assertNever(fault);
  }
}
