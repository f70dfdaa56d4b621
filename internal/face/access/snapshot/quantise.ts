/**
 * Templates in whole numbers, so that many can be compared in little time, and how far such a comparison may be from the exact one.
 *
 * A row is v = s q + e: q are whole numbers of -127 to 127, s the row's scale (its largest number by amount lies at 127), e what rounding left over. A
 * query is u = t p + f, with p so small that no sum of products leaves 32 bits. Then
 *
 *     u . v  =  s t (q . p)  +  u . e  +  f . (s q)
 *
 * and, by Cauchy and Schwarz, since s q = v - e, the exact cosine u . v differs from the score s t (q . p) by at most
 *
 *     |u| |e|  +  |f| (|v| + |e|)
 *
 * All these lengths are computed here, in float64, of the very numbers that are compared: the bound holds for whatever vector, not for a likely
 * one. At 512 dimensions it is about 0.007. The score itself is worked out in float32: the sum, its scale and their product are each rounded by one part in 2^24
 * at most.
 */

/** Numbers of a row are filled up with zeros to a multiple of this. */
const strideStep = 32;
const rowMax = 127;
const queryMax = 32_767;
const sumMax = 2 ** 31 - 1;
/** Three roundings to float32 of a score, doubled for the float64 in which the bound is worked out. */
const roundings = 6 * 2 ** -24;

/** Places that a row of so many numbers takes. */
export function strideOf(dimensions: number): number {
  return Math.ceil(dimensions / strideStep) * strideStep;
}

/** What is known of a row beside its whole numbers. */
export interface QuantisedRow {
  /** As exact as float32 is. */
  readonly scale: number;
  /** Length of what rounding left over. */
  readonly error: number;
  /** Length of the row. */
  readonly length: number;
}

/** Writes the whole numbers of a template. The row must not be all zeros. */
export function quantiseRow(template: Float32Array, into: Int8Array): QuantisedRow {
  const scale = Math.fround(largestOf(template) / rowMax);
  let errors = 0;
  let squares = 0;
  for (let place = 0; place < template.length; place += 1) {
    const value = template[place] as number;
    // The scale was rounded: what it makes of the largest number may be a little more than 127.
    const whole = Math.max(-rowMax, Math.min(rowMax, Math.round(value / scale)));
    into[place] = whole;
    const left = value - whole * scale;
    errors += left * left;
    squares += value * value;
  }
  into.fill(0, template.length);
  return { scale, error: Math.sqrt(errors), length: Math.sqrt(squares) };
}

/** What is looked for, in whole numbers. */
export interface QuantisedQuery {
  /** As many as a row has places. */
  readonly values: Int16Array;
  /** A row's score times this is about its cosine. */
  readonly scale: number;
  readonly error: number;
  readonly length: number;
}

/** The whole numbers of what is looked for. It must not be all zeros. */
export function quantiseQuery(template: Float32Array): QuantisedQuery {
  const dimensions = template.length;
  const most = Math.min(queryMax, Math.floor(sumMax / (rowMax * dimensions)));
  const scale = largestOf(template) / most;
  const values = new Int16Array(strideOf(dimensions));
  let errors = 0;
  let squares = 0;
  for (let place = 0; place < dimensions; place += 1) {
    const value = template[place] as number;
    const whole = Math.max(-most, Math.min(most, Math.round(value / scale)));
    values[place] = whole;
    const left = value - whole * scale;
    errors += left * left;
    squares += value * value;
  }
  return { values, scale, error: Math.sqrt(errors), length: Math.sqrt(squares) };
}

/** By how much a row's cosine may exceed its score times the query's scale, for rows with at most this error and length. */
export function errorBound(
  query: QuantisedQuery,
  rows: { readonly errorMax: number; readonly lengthMax: number },
): number {
  const { errorMax, lengthMax } = rows;
  const rounding = roundings * (query.length + query.error) * (lengthMax + errorMax);
  return query.length * errorMax + query.error * (lengthMax + errorMax) + rounding;
}

function largestOf(template: Float32Array): number {
  let largest = 0;
  for (let place = 0; place < template.length; place += 1) {
    const amount = Math.abs(template[place] as number);
    if (amount > largest) largest = amount;
  }
  return largest;
}
