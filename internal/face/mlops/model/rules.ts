import type { Clock } from "../../../platform/clock/clock.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { floatsOf } from "../../shared/embedding.ts";
import type { FaceWriter } from "../../shared/face-writer.ts";
import { mlopsErrors, refuse } from "../errors.ts";
import type { Calibration, ModelContent, ModelStore, StoredModel } from "./store.ts";

/** Networks' numbers are some tens at most. Beside a mean that is far off any of them all embeddings look alike, and everybody is everybody's match. */
const meanValueMax = 1000;

/** Face models. Each change is known to all doors when it resolves; throws OUTCOME_UNKNOWN when they will be told later. */
export interface ModelRules {
  /** Registers a model; one that is there already with the same content is returned. */
  register(modelId: string, content: ModelContent): Promise<StoredModel | Refusal<"fieldInvalid" | "modelExists">>;
  /** Sets the numbers that a model decides by. */
  calibrate(modelId: string, calibration: Calibration): Promise<StoredModel | Refusal<"modelNotFound">>;
  /** Tells doors of a model as it is now. Throws UNAVAILABLE: they may not know. */
  tell(modelId: string): Promise<void>;
}

export function createModelRules(deps: {
  readonly database: Database;
  readonly models: ModelStore;
  readonly writer: Pick<FaceWriter, "putModel">;
  readonly clock: Pick<Clock, "now">;
}): ModelRules {
  const { database, models, writer, clock } = deps;

  const tell: ModelRules["tell"] = async (modelId) => {
    const model = await models.find(database.sql, modelId);
    if (model === undefined) return;
    const { dimensions, threshold, margin, duplicateThreshold, revision } = model;
    const mean = model.mean.length === 0 ? undefined : floatsOf(model.mean);
    await writer.putModel({ modelId, dimensions, mean, threshold, margin, duplicateThreshold, revision });
    await models.told(database.sql, modelId, revision);
  };

  /** A change counts as made once doors know of it. */
  const told = async <T extends StoredModel | Refusal>(changed: T): Promise<T> => {
    if (isRefusal(changed)) return changed;
    try {
      await tell(changed.modelId);
    } catch (error) {
      throw mlopsErrors.outcomeUnknown({ cause: error });
    }
    return changed;
  };

  return {
    tell,

    register: async (modelId, content) => {
      const fault = faultOf(content);
      if (fault !== undefined) return refuseField("face_model.mean", fault);
      const model = { ...content, modelId, revision: 1, createTimeMs: clock.now() };
      return told(
        await database.transaction(async (tx) => {
          if (await models.add(tx, model)) return model;
          const known = await models.find(tx, modelId);
          return known !== undefined && isSame(known, content) ? known : refuse("modelExists", { model_id: modelId });
        }),
      );
    },

    calibrate: async (modelId, calibration) =>
      told(
        await database.transaction(async (tx) => {
          const known = await models.lock(tx, modelId);
          if (known === undefined) return refuse("modelNotFound", { model_id: modelId });
          const model = { ...known, ...calibration };
          if (isSame(known, model)) return known;
          const changed = { ...model, revision: known.revision + 1 };
          await models.calibrate(tx, changed);
          return changed;
        }),
      ),
  };
}

/** What is wrong with a mean, in words for its caller. */
function faultOf({ dimensions, mean }: ModelContent): string | undefined {
  if (mean.length === 0) return undefined;
  const size = dimensions * Float32Array.BYTES_PER_ELEMENT;
  if (mean.length !== size) return `must be ${dimensions} little-endian float32 values, ${size} bytes, or empty`;
  const values = floatsOf(mean);
  if (!values.every((value) => Number.isFinite(value))) return "must hold finite numbers";
  return values.every((value) => Math.abs(value) <= meanValueMax)
    ? undefined
    : `must hold numbers of at most ${meanValueMax} in size`;
}

function isSame(one: ModelContent, other: ModelContent): boolean {
  return (
    one.displayName === other.displayName &&
    one.dimensions === other.dimensions &&
    Buffer.from(one.mean).equals(other.mean) &&
    one.threshold === other.threshold &&
    one.margin === other.margin &&
    one.duplicateThreshold === other.duplicateThreshold &&
    one.targetFalsePositiveRate === other.targetFalsePositiveRate
  );
}
