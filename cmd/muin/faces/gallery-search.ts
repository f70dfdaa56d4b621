import type { SearchScores } from "./calibration.ts";

/** Faces of people, ready to be searched exactly. */
export interface SearchableGallery {
  readonly faceCount: number;
  /** What a person's last face finds among all others: those of other people, and the person's own. */
  search(person: number): SearchScores;
  /** Best score of a face that is of length 1 among all. */
  best(face: Float32Array): number;
}

/** Of each person the faces, all of one length and brought to length 1 (see `centred`); people without any find nobody. */
export function createSearchableGallery(people: readonly (readonly Float32Array[])[]): SearchableGallery {
  const faces = people.flat();
  const dimensions = faces[0]?.length ?? 0;
  const packed = new Float32Array(faces.length * dimensions);
  faces.forEach((face, index) => packed.set(face, index * dimensions));
  const starts: number[] = [];
  let count = 0;
  for (const own of people) {
    starts.push(count);
    count += own.length;
  }
  const bestIn = (face: Float32Array, from: number, until: number): number => {
    let best = -Infinity;
    for (let index = from; index < until; index++) {
      const score = dot(packed, index * dimensions, face);
      if (score > best) best = score;
    }
    return best;
  };
  return {
    faceCount: count,
    best: (face) => bestIn(face, 0, count),
    search: (person) => {
      const own = people[person] ?? [];
      const probe = own.at(-1);
      const start = starts[person] ?? count;
      const end = start + own.length;
      if (probe === undefined) return { other: -Infinity, own: undefined };
      return {
        other: Math.max(bestIn(probe, 0, start), bestIn(probe, end, count)),
        own: own.length === 1 ? undefined : bestIn(probe, start, end - 1),
      };
    },
  };
}

/** Four sums at once: additions wait for each other otherwise. */
function dot(packed: Float32Array, start: number, face: Float32Array): number {
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = face.length - (face.length % 4);
  for (let k = 0; k < whole; k += 4) {
    a += (packed[start + k] as number) * (face[k] as number);
    b += (packed[start + k + 1] as number) * (face[k + 1] as number);
    c += (packed[start + k + 2] as number) * (face[k + 2] as number);
    d += (packed[start + k + 3] as number) * (face[k + 3] as number);
  }
  for (let k = whole; k < face.length; k++) a += (packed[start + k] as number) * (face[k] as number);
  return a + b + (c + d);
}
