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
export const activeFields = ["model", "generation", "key_id", "revision"] as const;

/** Reads what HMGET answers for `activeFields`. `undefined`: no gallery is active. */
export function readActiveGallery(
  branchId: string,
  fields: readonly (Buffer | string | null)[],
): ActiveGallery | undefined {
  const [modelId, generation, keyId, revision] = fields;
  if (modelId == null || generation == null || keyId == null || revision == null) return undefined;
  return {
    branchId,
    modelId: String(modelId),
    generation: Number(generation),
    keyId: String(keyId),
    revision: Number(revision),
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
