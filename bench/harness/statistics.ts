/** A figure taken several times. */
export interface Figure {
  readonly median: number;
  readonly min: number;
  readonly max: number;
}

/** Median and range. Throws on an empty list. */
export function figureOf(values: readonly number[]): Figure {
  const sorted = values.toSorted((left, right) => left - right);
  const middle = (sorted.length - 1) / 2;
  const low = sorted[Math.floor(middle)];
  const high = sorted[Math.ceil(middle)];
  if (low === undefined || high === undefined) throw new Error("no values");
  return { median: (low + high) / 2, min: sorted[0] as number, max: sorted.at(-1) as number };
}
