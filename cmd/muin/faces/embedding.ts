/** Numbers that an embedding may have. */
const dimensionsBounds = { min: 64, max: 2048 } as const;

const base64Text = /^[A-Za-z0-9+/]+={0,2}$/;

/**
 * The bytes of an embedding, little-endian float32, from its text in base64; in a sentence what is wrong with it where it is none that a
 * model could have made.
 */
export function embeddingBytes(text: string): Uint8Array<ArrayBuffer> | { readonly bad: string } {
  if (!base64Text.test(text)) return { bad: "the embedding is not base64" };
  const bytes = Uint8Array.from(Buffer.from(text, "base64"));
  const dimensions = bytes.length / 4;
  if (!Number.isInteger(dimensions) || dimensions < dimensionsBounds.min || dimensions > dimensionsBounds.max) {
    const { min, max } = dimensionsBounds;
    return { bad: `the embedding has ${bytes.length} bytes, which are not ${min} to ${max} numbers of 4 bytes` };
  }
  const values = embeddingValues(bytes);
  if (!values.every(Number.isFinite)) return { bad: "the embedding holds NaN or an infinity" };
  if (values.every((value) => value === 0)) return { bad: "the embedding is zero" };
  return bytes;
}

/** The numbers of an embedding. */
export function embeddingValues(bytes: Uint8Array): Float32Array<ArrayBuffer> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const values = new Float32Array(bytes.length / 4);
  for (let k = 0; k < values.length; k++) values[k] = view.getFloat32(4 * k, true);
  return values;
}

/** An embedding as it is compared: less the mean, of length 1; `undefined` where nothing is left of it. An empty mean is none. */
export function centred(embedding: Float32Array, mean: Float32Array): Float32Array<ArrayBuffer> | undefined {
  const rest = Float64Array.from(embedding, (value, k) => value - (mean[k] ?? 0));
  let squares = 0;
  for (const value of rest) squares += value * value;
  if (squares === 0) return undefined;
  const length = Math.sqrt(squares);
  return Float32Array.from(rest, (value) => value / length);
}

/** The cosine of two embeddings of length 1. */
export function cosineOf(one: Float32Array, other: Float32Array): number {
  let sum = 0;
  for (let k = 0; k < one.length; k++) sum += (one[k] as number) * (other[k] as number);
  return sum;
}
/** Numbers as an embedding travels: little-endian float32. */
export function bytesOfValues(values: ArrayLike<number>): Uint8Array<ArrayBuffer> {
  const bytes = new Uint8Array(4 * values.length);
  const view = new DataView(bytes.buffer);
  for (let k = 0; k < values.length; k++) view.setFloat32(4 * k, values[k] as number, true);
  return bytes;
}
