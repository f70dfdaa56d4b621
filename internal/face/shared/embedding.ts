/** What is wrong with the bytes of an embedding. */
export type EmbeddingFault =
  /** Not four bytes for each number that the model wants. */
  | "wrong_length"
  /** A number that is none, or infinite. */
  | "not_finite"
  /** Nothing is left of it: it has no direction. */
  | "zero";

/** An embedding that was found good, or what is wrong with it. */
export type ReadEmbedding =
  /** Of length 1, as exact as float64 is; not turned yet (`template.ts`). */
  | { readonly unit: Float64Array; readonly fault?: undefined }
  | { readonly unit?: undefined; readonly fault: EmbeddingFault };

/** A vector shorter than this has no direction that its numbers could tell. */
const lengthMin = 1e-6;

/**
 * Reads an embedding: `dimensions` little-endian IEEE 754 float32, less the model's mean, brought to length 1. The cosine of two embeddings is
 * the dot product of what this makes of them.
 */
export function readEmbedding(
  bytes: Uint8Array,
  model: { readonly dimensions: number; readonly mean: Float32Array | undefined },
): ReadEmbedding {
  const { dimensions, mean } = model;
  if (bytes.byteLength !== dimensions * Float32Array.BYTES_PER_ELEMENT) return { fault: "wrong_length" };
  const floats = floatsOf(bytes);
  const unit = new Float64Array(dimensions);
  let squares = 0;
  for (let place = 0; place < dimensions; place += 1) {
    const value = (floats[place] as number) - (mean?.[place] ?? 0);
    if (!Number.isFinite(value)) return { fault: "not_finite" };
    unit[place] = value;
    squares += value * value;
  }
  const length = Math.sqrt(squares);
  if (length < lengthMin) return { fault: "zero" };
  for (let place = 0; place < dimensions; place += 1) unit[place] = (unit[place] as number) / length;
  return { unit };
}

/** Little-endian float32 as numbers, in memory of their own. All machines that Muin runs on are little-endian. */
export function floatsOf(bytes: Uint8Array): Float32Array {
  return new Float32Array(new Uint8Array(bytes).buffer);
}

/** Numbers as little-endian float32. Shares their memory. */
export function bytesOf(floats: Float32Array): Buffer {
  return Buffer.from(floats.buffer, floats.byteOffset, floats.byteLength);
}
