import { openRedis, type OpenRedis } from "../../platform/redis/open-redis.ts";
import { Secret } from "../../platform/config/fields.ts";
import { type FaceEngine, type SearchResult } from "./face-engine.ts";
import { createFaceWriter } from "./face-writer-redis.ts";
import type { FaceWriter } from "./face-writer.ts";
import { markFresh, readRunId } from "./fresh.ts";
import type { ActiveGallery, KeyedGallery } from "./gallery.ts";
import { createStoreEngine } from "./store-engine.ts";

/** Numbers in a template of the tests. */
export const dimensions = 64;

/** A secret of the tests. */
export const secret = new Secret("a secret of the tests that is long enough");

/** The face Redis, opened as mlops does. */
export interface FaceFixture extends AsyncDisposable {
  readonly store: OpenRedis;
  readonly writer: FaceWriter;
  readonly engine: FaceEngine;
  /** Makes a new gallery that doors decide by, of a branch of its own unless one is named. */
  gallery(branchId?: string): Promise<ActiveGallery>;
  /** Searches; throws unless there was a result. */
  find(gallery: ActiveGallery, template: Float32Array, memberId?: string): Promise<SearchResult>;
}

/** Opens the Redis at `url`, fresh unless told otherwise. */
export async function openFaces(
  url: string,
  options: {
    readonly isFresh?: boolean;
    readonly createWriter?: typeof createFaceWriter | undefined;
    readonly createEngine?: typeof createStoreEngine | undefined;
  } = {},
): Promise<FaceFixture> {
  const store = openRedis({ url, name: "test" });
  await store.start();
  if (options.isFresh !== false) await markFresh(store, await readRunId(store));
  const writer = (options.createWriter ?? createFaceWriter)(store);
  const engine = (options.createEngine ?? createStoreEngine)({ store, forDoors: true });
  return {
    store,
    writer,
    engine,
    gallery: async (branchId = crypto.randomUUID()) => {
      const former = await writer.readActive(branchId);
      const revision = former?.revision ?? 0;
      const gallery: KeyedGallery = { branchId, modelId: "model", generation: revision + 1, keyId: "0badcafe" };
      const outcome = await writer.activate(gallery, revision);
      if (outcome.kind !== "done") throw new Error("another gallery was activated");
      return outcome.active;
    },
    find: async (gallery, template, memberId) => {
      const outcome = await engine.search({ gallery, template, memberId }, new AbortController().signal);
      if (outcome.kind !== "searched") throw new Error(`no search: ${outcome.kind}`);
      return outcome.result;
    },
    [Symbol.asyncDispose]: () => store.stop(),
  };
}

/** Numbers from 0 to 1 that a seed brings forth again (mulberry32). */
export function seededFractions(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** A vector of any direction, each as likely. */
export function anyVector(fraction: () => number, size = dimensions): Float64Array {
  return Float64Array.from({ length: size }, () => {
    const radius = Math.sqrt(-2 * Math.log(1 - fraction()));
    return radius * Math.cos(2 * Math.PI * fraction());
  });
}

/** Brings a vector to length 1. */
export function unitOf(vector: Iterable<number>): Float64Array {
  const numbers = Float64Array.from(vector);
  const length = Math.hypot(...numbers);
  return numbers.map((number) => number / length);
}

/** A template: a vector of length 1 in float32. */
export function templateOf(vector: Iterable<number>): Float32Array {
  return Float32Array.from(unitOf(vector));
}

/** A template at about this cosine to another. */
export function near(template: Float32Array, cosine: number, fraction: () => number): Float32Array {
  const noise = unitOf(anyVector(fraction, template.length));
  const side = Math.sqrt(1 - cosine * cosine);
  return templateOf(Array.from(template, (number, place) => cosine * number + side * (noise[place] as number)));
}

/** The cosine of two vectors, in float64. */
export function cosineOf(one: ArrayLike<number>, other: ArrayLike<number>): number {
  let sum = 0;
  let ones = 0;
  let others = 0;
  for (let place = 0; place < one.length; place += 1) {
    sum += (one[place] as number) * (other[place] as number);
    ones += (one[place] as number) ** 2;
    others += (other[place] as number) ** 2;
  }
  return sum / Math.sqrt(ones * others);
}
