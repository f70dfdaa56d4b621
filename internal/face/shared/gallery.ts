import { floatsOf } from "./embedding.ts";

/** Names a gallery: the faces of a branch by one model, turned by one key. */
export interface GalleryId {
  readonly branchId: string;
  readonly modelId: string;
  /** From 1; grows with every renewal of the templates. */
  readonly generation: number;
}

/** A gallery, and by which secret its templates are turned. */
export interface KeyedGallery extends GalleryId {
  /** As `templateKeyId` makes it. */
  readonly keyId: string;
}

/** The gallery that a branch's doors decide by. */
export interface ActiveGallery extends KeyedGallery {
  /** From 1; grows with every promotion, roll back and renewal. */
  readonly revision: number;
  /** What doors decided by before they changed the model. Only what is read from the store tells it. */
  readonly former?: FormerGallery | undefined;
}

/** A gallery by which doors still decide for devices that have not changed their model yet. */
export interface FormerGallery extends KeyedGallery {
  /** Until when, by the store's clock, in milliseconds since the Unix epoch. */
  readonly untilMs: number;
}

/**
 * By which gallery a branch's doors decide for a device that makes embeddings by a model: the active one, or for a while the former one, so that a
 * change of the model refuses no call. `undefined`: by none.
 */
export function galleryFor(active: ActiveGallery, modelId: string, nowMs: number): ActiveGallery | undefined {
  if (active.modelId === modelId) return active;
  const { former, revision } = active;
  if (former === undefined || former.modelId !== modelId || nowMs >= former.untilMs) return undefined;
  return { ...former, revision };
}

/** Whether the same templates are meant: a template that was turned for one can be looked for in the other. */
export function isSameGallery(one: KeyedGallery, other: KeyedGallery): boolean {
  return (
    one.branchId === other.branchId &&
    one.modelId === other.modelId &&
    one.generation === other.generation &&
    one.keyId === other.keyId
  );
}

/** What a door needs of a face model. */
export interface FaceModelRecord {
  readonly modelId: string;
  /** Numbers in an embedding, 64 to 2048. */
  readonly dimensions: number;
  /** Subtracted from every embedding; `undefined`: nothing is. */
  readonly mean: Float32Array | undefined;
  /** Least cosine at which a face is somebody's. */
  readonly threshold: number;
  /** By how much the best person's cosine must exceed that of the second. */
  readonly margin: number;
  /** Least cosine at which a new face is one that another person has. */
  readonly duplicateThreshold: number;
  /** From 1; grows with every change of the record. */
  readonly revision: number;
}

/** Fields of the hash of an active gallery, in the order in which `readActiveGallery` takes them. */
export const activeFields = [
  "model",
  "generation",
  "key_id",
  "revision",
  "former_model",
  "former_generation",
  "former_key_id",
  "former_until_ms",
] as const;

/** Reads what HMGET answers for `activeFields`. `undefined`: no gallery is active. */
export function readActiveGallery(
  branchId: string,
  fields: readonly (Buffer | string | null)[],
): ActiveGallery | undefined {
  const [modelId, generation, keyId, revision, ...ofFormer] = fields;
  if (modelId == null || generation == null || keyId == null || revision == null) return undefined;
  const former = readFormerGallery(branchId, ofFormer);
  return {
    branchId,
    modelId: String(modelId),
    generation: Number(generation),
    keyId: String(keyId),
    revision: Number(revision),
    ...(former === undefined ? {} : { former }),
  };
}

function readFormerGallery(branchId: string, fields: readonly (Buffer | string | null)[]): FormerGallery | undefined {
  const [modelId, generation, keyId, untilMs] = fields;
  if (modelId == null || generation == null || keyId == null || untilMs == null) return undefined;
  return {
    branchId,
    modelId: String(modelId),
    generation: Number(generation),
    keyId: String(keyId),
    untilMs: Number(untilMs),
  };
}

/** Fields of the hash of a face model, in the order in which `readFaceModel` takes them. */
export const modelFields = ["dimensions", "mean", "threshold", "margin", "duplicate_threshold", "revision"] as const;

/** Field and value of a face model's hash, in turn. */
export function writeFaceModel(model: FaceModelRecord): readonly (string | Buffer)[] {
  const { mean } = model;
  const bytes = mean === undefined ? "" : Buffer.from(mean.buffer, mean.byteOffset, mean.byteLength);
  const values = [model.dimensions, bytes, model.threshold, model.margin, model.duplicateThreshold, model.revision];
  return modelFields.flatMap((field, place) => {
    const value = values[place] as number | string | Buffer;
    return [field, typeof value === "number" ? String(value) : value];
  });
}

/** Reads what HMGET answers, as Buffers, for `modelFields`. `undefined`: there is no such model. */
export function readFaceModel(modelId: string, fields: readonly (Buffer | null)[]): FaceModelRecord | undefined {
  const [dimensions, mean, threshold, margin, duplicateThreshold, revision] = fields;
  if (dimensions == null || mean == null || revision == null) return undefined;
  return {
    modelId,
    dimensions: Number(dimensions),
    mean: mean.length === 0 ? undefined : floatsOf(mean),
    threshold: Number(threshold),
    margin: Number(margin),
    duplicateThreshold: Number(duplicateThreshold),
    revision: Number(revision),
  };
}
