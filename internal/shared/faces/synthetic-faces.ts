/**
 * Faces of people who do not exist, as embeddings: for simulations, tests and measurements. Nothing in them comes from a picture.
 *
 * What is imitated are the two distributions of cosines that decide how well a door works, as a good network of 512 dimensions has them
 * on pictures of people who look at the camera. They are a model with chosen numbers, not a measurement of people:
 *
 * - Two photographs of one person (genuine). A photograph is `a * face + sqrt(1 - a^2) * noise`, where its quality `a` is
 *   `0.92 - 0.06 * E`, E from the exponential distribution with mean 1: most are good, few are bad. Their cosine is about `a1 * a2`:
 *   mean 0.74, standard deviation 0.07, with a long tail below: one in a thousand pairs has less than 0.4.
 * - Photographs of two people (impostor). Mean near 0. The axes have variances `1 / (1 + 20 k / dimensions)`, so that half of the
 *   dimensions count, as real embeddings use fewer than they have, and the standard deviation is 0.063 in 512 dimensions, 0.126 in 128.
 *   Two tails on top: people of one of eight cohorts look more alike (mean 0.04), as false matches are between people of one sex,
 *   age and origin; and every 50th person is kin of the one before (mean 0.26).
 *
 * The threshold that separates them lies where those of public networks do: OpenCV's SFace takes two faces for one person from a cosine of
 * 0.363 on (docs.opencv.org, "DNN-based Face Detection And Recognition"). That cohorts and kin make the tail: NIST IR 8280 (demographic
 * effects) and NIST IR 8439 (twins). The test beside this file holds the figures.
 */
export interface SyntheticFaces {
  readonly dimensions: number;
  /** What all photographs of a person have in common, of length 1. The same for the same person, always; people are 0 to 2^32 - 1. */
  faceOf(person: number): Float32Array<ArrayBuffer>;
  /** A photograph of a person, of length 1; photographs are 0 to 2^32 - 1. */
  photographOf(person: number, photograph: number): Float32Array<ArrayBuffer>;
}

const qualityMax = 0.92;
const qualitySpread = 0.06;
const qualityMin = 0.2;

const spectrumSlope = 20;
const cohorts = 8;
/** Mean cosine of the faces of two people of a cohort. */
const cohortCosine = 0.06;
/** Every so many people one is kin of the one before. */
const kinEvery = 50;
/** Mean cosine of the faces of kin. */
const kinCosine = 0.35;

/** What a stream of numbers is for: streams of different uses never meet. */
const use = { cohort: 1, face: 2, photograph: 3, quality: 4 } as const;

/** Faces that a seed stands for: the same seed and dimensions, the same faces on every machine. */
export function createSyntheticFaces(options: {
  readonly seed: number;
  /** Numbers in an embedding, at least 2. */
  readonly dimensions: number;
}): SyntheticFaces {
  const { seed, dimensions } = options;
  const spectrum = Float64Array.from({ length: dimensions }, (_, k) =>
    Math.sqrt(1 / (1 + (spectrumSlope * k) / dimensions)),
  );
  const directionOf = (...key: readonly [use: number, first: number, second: number]): Float64Array => {
    const direction = new Float64Array(dimensions);
    fillNormal(direction, numbersOf(seed, ...key));
    for (let k = 0; k < dimensions; k++) direction[k] = (direction[k] as number) * (spectrum[k] as number);
    return unit(spread(direction));
  };
  const cohortDirections = Array.from({ length: cohorts }, (_, cohort) => directionOf(use.cohort, cohort, 0));

  const exactFaceOf = (person: number): Float64Array => {
    const own = directionOf(use.face, person, 0);
    const cohort = cohortDirections[numbersOf(seed, use.cohort, person, 1)() % cohorts] as Float64Array;
    const face = blend(cohort, own, Math.sqrt(cohortCosine));
    return person % kinEvery === kinEvery - 1 ? blend(exactFaceOf(person - 1), face, kinCosine) : face;
  };
  return {
    dimensions,
    faceOf: (person) => Float32Array.from(exactFaceOf(person)),
    photographOf: (person, photograph) => {
      const chance = (numbersOf(seed, use.quality, person, photograph)() + 0.5) / 2 ** 32;
      const quality = Math.max(qualityMin, qualityMax + qualitySpread * Math.log(chance));
      const noise = directionOf(use.photograph, person, photograph);
      return Float32Array.from(blend(exactFaceOf(person), noise, quality));
    },
  };
}

/** `share` of one direction and of the other what brings the length to about 1; then exactly 1. */
function blend(one: Float64Array, other: Float64Array, share: number): Float64Array {
  const rest = Math.sqrt(1 - share * share);
  const sum = new Float64Array(one.length);
  for (let k = 0; k < sum.length; k++) sum[k] = share * (one[k] as number) + rest * (other[k] as number);
  return unit(sum);
}

/** Brings a vector to length 1, in place. */
function unit(vector: Float64Array): Float64Array {
  let squares = 0;
  for (let k = 0; k < vector.length; k++) squares += (vector[k] as number) ** 2;
  const factor = 1 / Math.sqrt(squares);
  for (let k = 0; k < vector.length; k++) vector[k] = (vector[k] as number) * factor;
  return vector;
}

/**
 * Turns a vector, in place, so that the axes that vary most are not the first ones: coordinates of real embeddings vary alike. A fast
 * Walsh-Hadamard transform, which leaves a coordinate without a partner as it is.
 */
function spread(vector: Float64Array): Float64Array {
  for (let stride = 1; stride < vector.length; stride *= 2) {
    for (let from = 0; from < vector.length; from += 2 * stride) {
      const end = Math.min(from + stride, vector.length - stride);
      for (let k = from; k < end; k++) {
        const [a, b] = [vector[k] as number, vector[k + stride] as number];
        vector[k] = (a + b) * Math.SQRT1_2;
        vector[k + stride] = (a - b) * Math.SQRT1_2;
      }
    }
  }
  return vector;
}

/** Standard deviation of the sum of four bytes. */
const byteSumDeviation = Math.sqrt((4 * (256 ** 2 - 1)) / 12);

/** Numbers that are nearly normal, mean 0 and deviation 1: sums of the four bytes of each number. */
function fillNormal(target: Float64Array, next: () => number): void {
  for (let k = 0; k < target.length; k++) {
    const bits = next();
    const sum = (bits & 255) + ((bits >>> 8) & 255) + ((bits >>> 16) & 255) + (bits >>> 24);
    target[k] = (sum - 510) / byteSumDeviation;
  }
}

/** A stream of whole numbers, uniform in 0 to 2^32 - 1, that its key stands for: sfc32 by Chris Doty-Humphrey (PractRand), public domain. */
function numbersOf(seed: number, ...[use, first, second]: readonly [number, number, number]): () => number {
  let a = mixed(seed ^ mixed(use));
  let b = mixed(a ^ first);
  let c = mixed(b ^ second);
  let counter = 1;
  const next = (): number => {
    const sum = (a + b + counter) | 0;
    counter = (counter + 1) | 0;
    a = b ^ (b >>> 9);
    b = (c + (c << 3)) | 0;
    c = ((c << 21) | (c >>> 11)) + sum;
    c |= 0;
    return sum >>> 0;
  };
  for (let warm = 0; warm < 12; warm++) next();
  return next;
}

/** Spreads the bits of a number over all of it: the finaliser of MurmurHash3. */
function mixed(value: number): number {
  let bits = (value + 0x9e3779b9) | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) | 0;
}
