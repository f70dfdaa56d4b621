import { Secret } from "../../internal/platform/config/fields.ts";
import type { RedisStore } from "../../internal/platform/redis/redis-store.ts";
import { bytesOf, readEmbedding } from "../../internal/face/shared/embedding.ts";
import { createFaceWriter } from "../../internal/face/shared/face-writer-redis.ts";
import type { EnrolmentName } from "../../internal/face/shared/face-writer.ts";
import { markFresh, readRunId } from "../../internal/face/shared/fresh.ts";
import type { ActiveGallery, FaceModelRecord } from "../../internal/face/shared/gallery.ts";
import { createTemplates } from "../../internal/face/shared/template.ts";
import { inTurns } from "./in-turns.ts";
import { dimensions, matchRule } from "./people.ts";

/** The model of all galleries. */
export const model: FaceModelRecord = {
  modelId: "bench",
  dimensions,
  mean: undefined,
  ...matchRule,
  duplicateThreshold: 0.9,
  revision: 1,
};
/** By which templates are turned. */
export const templates = createTemplates({ present: new Secret("a template secret of the bench, 32 long") });

/** The gallery of so many faces, as its branch's record says it once `fillGalleries` has made it. */
export function galleryOf(faces: number): ActiveGallery {
  return { branchId: `branch-${faces}`, modelId: model.modelId, generation: 1, keyId: templates.keyId, revision: 1 };
}

/** Names the enrolment of a person. */
export function enrolmentOf(person: number): EnrolmentName {
  return { memberId: `m${person}`, enrolmentId: `e${person}` };
}

/** Reads the number of a person from their id. */
export function personOf(memberId: string): number {
  return Number(memberId.slice(1));
}

/** The template of a face in a gallery, made of the bytes that a device sends. */
export function templateOf(gallery: ActiveGallery, embedding: Float32Array): Float32Array {
  const read = readEmbedding(bytesOf(embedding), model);
  if (read.fault !== undefined) throw new Error(`an embedding is ${read.fault}`);
  const template = templates.turn(gallery, read.unit);
  if (template === undefined) throw new Error("the gallery's secret is not known");
  return template;
}

/** Makes galleries of these sizes, as mlops writes them. */
export async function fillGalleries(
  store: RedisStore,
  sizes: readonly number[],
  faces: readonly Float32Array[],
): Promise<void> {
  await markFresh(store, await readRunId(store));
  const writer = createFaceWriter(store);
  await writer.putModel(model);
  for (const size of sizes) {
    const gallery = galleryOf(size);
    const outcome = await writer.activate(gallery, 0);
    if (outcome.kind !== "done") throw new Error("the branch has another gallery");
    await inTurns(size, (person) => {
      const template = templateOf(gallery, faces[person] as Float32Array);
      return writer.put(enrolmentOf(person), [{ gallery, templates: [template] }]);
    });
  }
}
