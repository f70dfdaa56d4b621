/**
 * How far a score of a vector set may lie from the cosine of the float32 templates.
 *
 * Redis 8.10 keeps each vector x in int8 with a scale of its own (`quantize_to_q8` and `vectors_distance_q8` in `modules/vector-sets/hnsw.c`): x is brought to length 1, m is
 * the largest |x_i|, r_i = roundf(x_i * 127 / m), and in comparisons r_i * m / 127 stands for x_i. The query is treated alike, and the score is (1 + the
 * sum of the products) / 2. With e(x) for the length of the difference that this makes to x, Cauchy and Schwarz give for two vectors of length 1
 *
 *     |cosine(x, y) - (2 * score - 1)| <= e(x) + e(y) + e(x) * e(y) + rounding.
 *
 * e(x) is not estimated but computed, of a query when it is asked and of a template when it is written: the gallery keeps the largest that it ever held.
 *
 * `rounding` is what float32 arithmetic adds, with u = 2^-24: bringing both vectors to length 1 (the sum of d/4 + 3 terms, halved by the root, and two roundings, each vector: in all
 * less than 2 d u), an r_i on the edge between two values that is rounded the other way here than there (2^-16 of a step, in the length of the difference
 * less than 1.1 d u), and the score itself (7 u). Together less than 4 d u.
 */
const roundingPerDimension = 4 * 2 ** -24;

/** Largest value of a quantised number. */
const quantMax = 127;

/** e(x) as said above, of a template. */
export function quantisationError(template: Float32Array): number {
  let largest = 0;
  for (const value of template) largest = Math.max(largest, Math.abs(value));
  if (largest === 0) return 0;
  const scale = Math.fround(quantMax / largest);
  let squares = 0;
  for (const value of template) {
    const size = Math.abs(value);
    const difference = size - (Math.round(Math.fround(size * scale)) * largest) / quantMax;
    squares += difference * difference;
  }
  return Math.sqrt(squares);
}

/** The largest that e(x) can be, whatever x: no number is off by more than half a step, and no step is larger than 1/127. */
export function quantisationErrorMax(dimensions: number): number {
  return Math.sqrt(dimensions) / (2 * quantMax);
}

/** The largest difference between the cosine of a query's template and a stored one, and what the score says that it is. */
export function cosineErrorMax(queryError: number, storedErrorMax: number, dimensions: number): number {
  return queryError + storedErrorMax + queryError * storedErrorMax + roundingPerDimension * dimensions;
}
