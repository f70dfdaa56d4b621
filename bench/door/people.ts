import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createSyntheticFaces } from "../../internal/shared/faces/synthetic-faces.ts";

/** Numbers in an embedding. */
export const dimensions = 512;
/** When a face is somebody's: the least cosine, and by how much it must exceed that of the second person. */
export const matchRule = { threshold: 0.4, margin: 0.05 } as const;

/** The same people in every run. */
const seed = 11;
/** Each so many probes one is of somebody who is enrolled nowhere. */
const strangerEvery = 10;
const strangersFrom = 1_000_000;
/** Two engines that add up in another order differ by less: a decision that hangs on it is asked of none. */
const edge = 1e-4;

/** A face at the door, and what is right. */
export interface Probe {
  /** Among all probes. */
  readonly place: number;
  readonly embedding: Float32Array<ArrayBuffer>;
  /** By number of faces in the gallery: whose face it is, exactly; `null`: nobody's who is enrolled. */
  readonly person: Readonly<Record<string, number | null>>;
}

/** Those who are enrolled, one photograph each: a gallery of n faces is the first n. And who comes to the door. */
export interface People {
  readonly gallery: readonly Float32Array<ArrayBuffer>[];
  readonly probes: readonly Probe[];
}

/** Photographs of people who are in no gallery yet. */
export function newFaces(count: number): readonly Float32Array<ArrayBuffer>[] {
  const faces = createSyntheticFaces({ seed, dimensions });
  return Array.from({ length: count }, (_, place) => faces.photographOf(2 * strangersFrom + place, 0));
}

/** Makes people for galleries of these sizes, and compares each probe with each face in float64: the measure of all engines. */
export function makePeople(sizes: readonly number[], probes: number): People {
  const faces = createSyntheticFaces({ seed, dimensions });
  const most = Math.max(...sizes);
  const gallery = Array.from({ length: most }, (_, person) => faces.photographOf(person, 0));
  const made: Probe[] = [];
  const known = Math.min(...sizes);
  for (let draw = 0; made.length < probes; draw += 1) {
    const isStranger = draw % strangerEvery === strangerEvery - 1;
    const embedding = faces.photographOf(isStranger ? strangersFrom + draw : (draw * 7919) % known, 1 + draw);
    const person = decide(embedding, gallery, sizes);
    if (person !== undefined) made.push({ place: made.length, embedding, person });
  }
  return { gallery, probes: made };
}

/** Whose face it is in each gallery. `undefined`: by less than `edge` one or the other in one of them. */
function decide(
  embedding: Float32Array,
  gallery: readonly Float32Array[],
  sizes: readonly number[],
): Probe["person"] | undefined {
  const person: Record<string, number | null> = {};
  let [best, bestScore, secondScore] = [-1, -1, -1];
  for (const [place, face] of gallery.entries()) {
    let score = 0;
    for (let k = 0; k < dimensions; k += 1) score += (embedding[k] as number) * (face[k] as number);
    if (score > bestScore) [best, bestScore, secondScore] = [place, score, bestScore];
    else if (score > secondScore) secondScore = score;
    if (!sizes.includes(place + 1)) continue;
    const [over, apart] = [bestScore - matchRule.threshold, bestScore - secondScore - matchRule.margin];
    if (Math.abs(over) < edge || Math.abs(apart) < edge) return undefined;
    person[place + 1] = over > 0 && apart > 0 ? best : null;
  }
  return person;
}

/** Writes people for other processes: raw float32, one face after the other, and what is right as JSON. */
export async function writePeople(folder: string, { gallery, probes }: People): Promise<void> {
  await writeFile(join(folder, "gallery.f32"), Buffer.concat(gallery.map(bytes)));
  await writeFile(join(folder, "probes.f32"), Buffer.concat(probes.map(({ embedding }) => bytes(embedding))));
  await writeFile(join(folder, "right.json"), JSON.stringify(probes.map(({ person }) => person)));
}

/** Reads the probes that `writePeople` wrote. */
export async function readProbes(folder: string): Promise<readonly Probe[]> {
  const right = JSON.parse(await readFile(join(folder, "right.json"), "utf8")) as readonly Probe["person"][];
  const floats = new Float32Array(new Uint8Array(await readFile(join(folder, "probes.f32"))).buffer);
  return right.map((person, place) => ({
    place,
    embedding: floats.slice(place * dimensions, (place + 1) * dimensions),
    person,
  }));
}

function bytes(face: Float32Array<ArrayBuffer>): Uint8Array {
  return new Uint8Array(face.buffer);
}
