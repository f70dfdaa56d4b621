import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import type { RedisReader, RedisStore } from "../../../platform/redis/redis-store.ts";
import { type EmbeddingFault, readEmbedding } from "../../shared/embedding.ts";
import { type FaceEngine, isMatch, type SearchOutcome, type SearchQuery } from "../../shared/face-engine.ts";
import {
  activeFields,
  type ActiveGallery,
  type FaceModelRecord,
  galleryFor,
  isSameGallery,
  modelFields,
  readActiveGallery,
  readFaceModel,
} from "../../shared/gallery.ts";
import { activeKey, modelKey } from "../../shared/key-schema.ts";
import type { Templates } from "../../shared/template.ts";
import { accessErrors } from "../errors.ts";
import { isAway, type StoreWatch } from "../face-store/watch.ts";

/** A face at a door. */
export interface LookedFor {
  readonly branchId: string;
  readonly modelId: string;
  readonly embedding: Uint8Array;
  /** Whose face it is said to be; `undefined`: anybody's. */
  readonly memberId: string | undefined;
}

/** Whose face it is. */
export interface Found {
  /** `undefined`: nobody's who is enrolled here. */
  readonly memberId: string | undefined;
  readonly source: "store" | "snapshot";
  readonly ageMs: number;
  /** The person's copy, where the engine read it on its way. */
  readonly beside: Buffer | undefined;
}

/** Recognises faces. */
export interface Faces {
  /**
   * Whose face it is, by the model that is named, where it decides at the branch. Throws MODEL_NOT_ACTIVE, EMBEDDING_INVALID, FACE_STORE_UNAVAILABLE, and
   * RESOURCE_EXHAUSTED when too many are looked for at once.
   */
  find(face: LookedFor): Promise<Found>;
}

/** A search takes a few milliseconds; after this it is given up. */
const searchMsMax = 1000;
/** Galleries are exchanged by hand: they do not change so often during one look-up. */
const roundsMax = 4;
/** Galleries that a process remembers, by branch and model. */
const galleriesMax = 10_000;

const faultTexts: Readonly<Record<EmbeddingFault, string>> = {
  wrong_length: "it must be as many little-endian float32 numbers as the model has dimensions",
  not_finite: "a number in it is none, or infinite",
  zero: "it has no direction",
};

/** What decides at a branch for devices with a model. */
export interface Deciding {
  readonly active: ActiveGallery;
  readonly model: FaceModelRecord;
}

/**
 * What decides at a branch is remembered, and read again beside each search, so that it costs no round trip of its own: what was found by other
 * than the present one is looked for again.
 */
export function createFaces(deps: {
  readonly store: RedisReader | RedisStore;
  readonly engine: FaceEngine;
  readonly templates: Pick<Templates, "turn">;
  readonly watch: StoreWatch;
  /** What decides by what this process knows itself. `undefined`: it knows nothing, or nothing that is young enough. */
  readonly snapshot: (branchId: string) => Deciding | undefined;
  readonly clock: Pick<Clock, "now" | "monotonic" | "sleep">;
}): Faces {
  const { store, engine, templates, watch, snapshot, clock } = deps;
  const remembered = createLruMap<Deciding>(galleriesMax);

  /** What decides now, read from the store. */
  const readDeciding = async (branchId: string, modelId: string): Promise<Deciding | undefined> => {
    const [ofBranch, ofModel] = await Promise.all([
      store.client.hmgetBuffer(activeKey(branchId), ...activeFields),
      store.client.hmgetBuffer(modelKey(modelId), ...modelFields),
    ]);
    const present = readActiveGallery(branchId, ofBranch);
    const active = present && galleryFor(present, modelId, clock.now());
    const model = readFaceModel(modelId, ofModel);
    const deciding = active !== undefined && model !== undefined ? { active, model } : undefined;
    const name = nameOf(branchId, modelId);
    if (deciding === undefined) remembered.delete(name);
    else remembered.set(name, deciding);
    return deciding;
  };

  const search = (query: SearchQuery): Promise<SearchOutcome> =>
    orUnavailable(timeout(clock, searchMsMax, (signal) => engine.search(query, signal)));

  const askDeciding = async (
    branchId: string,
    modelId: string,
    known: Deciding | undefined,
  ): Promise<Deciding | undefined> => {
    const view = snapshot(branchId);
    if (view === undefined && known === undefined)
      return orUnavailable(timeout(clock, searchMsMax, readDeciding(branchId, modelId)));
    const answer = await watch.ask(() => readDeciding(branchId, modelId));
    if (answer.kind === "answered") return answer.value;
    return view?.active.modelId === modelId ? view : known; // As good as is known while the store is away.
  };

  return {
    find: async ({ branchId, modelId, embedding, memberId }) => {
      let deciding = remembered.get(nameOf(branchId, modelId)) ?? (await askDeciding(branchId, modelId, undefined));
      for (let round = 1; round <= roundsMax; round += 1) {
        if (deciding === undefined) throw accessErrors.modelNotActive({ model_id: modelId });
        const { active, model } = deciding;
        const read = readEmbedding(embedding, model);
        if (read.fault !== undefined) throw embeddingInvalid(read.fault);
        const template = templates.turn(active, read.unit);
        if (template === undefined) {
          throw accessErrors.faceStoreUnavailable({
            cause: new Error(`the template secret ${active.keyId} is not known`),
          });
        }
        const [outcome, now] = await Promise.all([
          search({ gallery: active, template, memberId, decideBy: model }),
          askDeciding(branchId, modelId, deciding),
        ]);
        if (outcome.kind === "not_fresh" || outcome.kind === "no_snapshot") throw accessErrors.faceStoreUnavailable();
        if (outcome.kind === "searched" && isUnchanged(deciding, now)) {
          const { result, source, ageMs, beside } = outcome;
          const best = isMatch(result, model) ? result.best : undefined;
          return { memberId: best?.memberId, source, ageMs, beside: best && beside };
        }
        deciding = outcome.kind === "searched" ? now : await askDeciding(branchId, modelId, undefined);
      }
      throw accessErrors.faceStoreUnavailable();
    },
  };
}

/** Settles as `work` does, with FACE_STORE_UNAVAILABLE where the store is away. */
async function orUnavailable<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw isAway(error) ? accessErrors.faceStoreUnavailable({ cause: error }) : error;
  }
}

/** Ids hold no line breaks. */
function nameOf(branchId: string, modelId: string): string {
  return `${branchId}\n${modelId}`;
}

function isUnchanged(one: Deciding, now: Deciding | undefined): boolean {
  return now !== undefined && isSameGallery(one.active, now.active) && one.model.revision === now.model.revision;
}

function embeddingInvalid(fault: EmbeddingFault): Error {
  return accessErrors.embeddingInvalid(
    { fault: faultTexts[fault] },
    { violations: [{ field: "embedding", description: faultTexts[fault] }] },
  );
}
