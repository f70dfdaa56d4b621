/** What is wrong with the bytes of an embedding. */
export type EmbeddingFault =
  /** Not four bytes for each number that the model wants. */
  | "wrong_length"
  /** A number that is none, or infinite. */
  | "not_finite"
  /** It is nothing, or nothing is left of it less the mean: it has no direction. */
  | "zero";

/** An embedding that was found good, or what is wrong with it. */
export type ReadEmbedding =
  /** Of length 1, as exact as float64 is; not turned yet (`template.ts`). */
  | { readonly unit: Float64Array; readonly fault?: undefined }
  | { readonly unit?: undefined; readonly fault: EmbeddingFault };

/** A vector shorter than this has no direction that its numbers could tell. */
const lengthMin = 1e-6;
/**
 * Networks make embeddings of length 1, where they normalise them, to some tens: what is a thousandth of that came from no picture. It would be the mean turned round, the
 * same for everybody, once the mean is taken off.
 */
const givenLengthMin = 1e-3;
/** The same beside a mean of any size: an embedding of less than a hundredth of it is within a degree of the mean turned round, whoever it is of. */
const shareOfMeanMin = 0.01;

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
  let givenSquares = 0;
  let meanSquares = 0;
  for (let place = 0; place < dimensions; place += 1) {
    const given = floats[place] as number;
    const middle = mean?.[place] ?? 0;
    const value = given - middle;
    if (!Number.isFinite(value)) return { fault: "not_finite" };
    unit[place] = value;
    squares += value * value;
    givenSquares += given * given;
    meanSquares += middle * middle;
  }
  if (Math.sqrt(givenSquares) < Math.max(givenLengthMin, shareOfMeanMin * Math.sqrt(meanSquares))) {
    return { fault: "zero" };
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
