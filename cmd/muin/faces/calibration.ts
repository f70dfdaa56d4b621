/**
 * Thresholds from scores, in the words and formulas of NIST's Face Recognition Technology Evaluation 1:N (NIST IR 8271,
 * pages.nist.gov/frvt/html/frvt1N.html) and ISO/IEC 19795-1:
 *
 * - FMR(T): the share of impostor pairs whose score is T or more (false match rate, 1:1);
 * - FPIR(N, T): the share of searches by people who are not among N that find somebody at T or above (false-positive identification rate);
 * - FNIR(N, T): the share of searches by people who are among N that do not find them at T or above, or find somebody else first
 *   (false-negative identification rate, rank 1).
 *
 * Where comparisons are independent, FPIR(N, T) = 1 - (1 - FMR(T))^N. A search through a gallery measures FPIR itself.
 */

/** A share that was measured, with the bounds between which it lies in 95 of 100 such measurements. */
export interface Rate {
  readonly share: number;
  readonly low: number;
  readonly high: number;
  readonly events: number;
  readonly trials: number;
}

/** Of a normal distribution, 95 % lie within so many standard deviations. */
const z95 = 1.959963984540054;

/** A share with Wilson's score interval (E. B. Wilson, "Probable Inference", 1927), which holds for few events too. */
export function rateOf(events: number, trials: number): Rate {
  if (trials === 0) return { share: 0, low: 0, high: 1, events, trials };
  const share = events / trials;
  const z2 = z95 ** 2;
  const centre = (share + z2 / (2 * trials)) / (1 + z2 / trials);
  const half = (z95 / (1 + z2 / trials)) * Math.sqrt((share * (1 - share)) / trials + z2 / (4 * trials ** 2));
  const low = events === 0 ? 0 : Math.max(0, centre - half);
  const high = events === trials ? 1 : Math.min(1, centre + half);
  return { share, low, high, events, trials };
}

/** FPIR among `size` faces, from the rate of a single comparison or of a search among fewer. */
export function rateAmong(rate: number, size: number): number {
  return -Math.expm1(size * Math.log1p(-rate));
}

/** The rate of a single comparison by which a search among `size` faces has `rate`. */
export function rateOfOne(rate: number, size: number): number {
  return -Math.expm1(Math.log1p(-rate) / size);
}

/** Least threshold that is proposed: scores of 0 and less are of faces that have nothing in common. */
const thresholdMin = 0.01;

/**
 * The least threshold that at most a share of the scores reaches; `undefined` where even one score is more than that share: so few scores do
 * not show it. Sorts nothing: `ascending` is.
 */
export function thresholdFor(ascending: Float64Array, share: number): number | undefined {
  const reaching = Math.floor(share * ascending.length + 1e-9);
  if (reaching === 0) return undefined;
  if (reaching >= ascending.length) return thresholdMin;
  const below = ascending[ascending.length - reaching - 1] as number;
  // Ties with the score below do not reach it either.
  const above = ascending.find((score) => score > below);
  if (above === undefined && below >= 1) return undefined; // A threshold above 1 there is not.
  return Math.max(thresholdMin, above === undefined ? below + Number.EPSILON : (below + above) / 2);
}

/** How many scores are `threshold` or more. */
export function countFrom(ascending: Float64Array, threshold: number): number {
  let [from, until] = [0, ascending.length];
  while (from < until) {
    const middle = (from + until) >>> 1;
    if ((ascending[middle] as number) < threshold) from = middle + 1;
    else until = middle;
  }
  return ascending.length - from;
}

/** What one search through a gallery found, the searcher's own faces aside and alone. */
export interface SearchScores {
  /** Best score of another person. */
  readonly other: number;
  /** Best score of the searcher's own other faces; `undefined` without any. */
  readonly own: number | undefined;
}

/** What a threshold was chosen from, and what it brings. */
export interface Calibration {
  readonly method: "searches" | "pairs";
  readonly threshold: number;
  /** Faces for which it was chosen. */
  readonly size: number;
  readonly targetFpir: number;
  /** Measured at the threshold: of searches as they were made, or of single comparisons, the false match rate. */
  readonly falsePositives: Rate;
  /** FPIR among `size` faces, and its bounds. */
  readonly fpir: { readonly share: number; readonly low: number; readonly high: number };
  /** `undefined` without genuine scores. */
  readonly fnir: Rate | undefined;
}

/** A calibration, or the least FPIR that so few scores can show. */
export type Calibrated = Calibration | { readonly targetMin: number };

interface Wanted {
  readonly targetFpir: number;
  readonly size: number;
}

/** From scores of pairs: FPIR by the formula above, which takes comparisons for independent. */
export function calibrateByPairs(
  { genuine, impostor }: { readonly genuine: readonly number[]; readonly impostor: readonly number[] },
  { targetFpir, size }: Wanted,
): Calibrated {
  const ascending = Float64Array.from(impostor).toSorted();
  const threshold = thresholdFor(ascending, rateOfOne(targetFpir, size));
  if (threshold === undefined) return { targetMin: rateAmong(1 / ascending.length, size) };
  const falsePositives = rateOf(countFrom(ascending, threshold), ascending.length);
  const missed = genuine.filter((score) => score < threshold).length;
  return {
    method: "pairs",
    threshold,
    size,
    targetFpir,
    falsePositives,
    fpir: scaled(falsePositives, size),
    fnir: genuine.length === 0 ? undefined : rateOf(missed, genuine.length),
  };
}

/** From searches among `searched` faces each: FPIR as it was measured there, brought to `size` faces by the same formula. */
export function calibrateBySearches(
  searches: readonly SearchScores[],
  searched: number,
  { targetFpir, size }: Wanted,
): Calibrated {
  const ascending = Float64Array.from(searches, ({ other }) => other).toSorted();
  const share = rateAmong(rateOfOne(targetFpir, size), searched);
  const threshold = thresholdFor(ascending, share);
  if (threshold === undefined) return { targetMin: rateAmong(1 / ascending.length, size / searched) };
  const falsePositives = rateOf(countFrom(ascending, threshold), ascending.length);
  const mated = searches.filter(({ own }) => own !== undefined);
  const missed = mated.filter(({ own = 0, other }) => own < threshold || own <= other).length;
  return {
    method: "searches",
    threshold,
    size,
    targetFpir,
    falsePositives,
    fpir: scaled(falsePositives, size / searched),
    fnir: mated.length === 0 ? undefined : rateOf(missed, mated.length),
  };
}

function scaled({ share, low, high }: Rate, times: number): Calibration["fpir"] {
  return { share: rateAmong(share, times), low: rateAmong(low, times), high: rateAmong(high, times) };
}
