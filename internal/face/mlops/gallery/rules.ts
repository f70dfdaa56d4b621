import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { FaceWriter } from "../../shared/face-writer.ts";
import { isSameGallery } from "../../shared/gallery.ts";
import type { BranchStore } from "../branch/store.ts";
import type { EnrolmentStore } from "../enrolment/store.ts";
import { mlopsErrors, refuse } from "../errors.ts";
import type { ModelStore } from "../model/store.ts";
import type { CountedGallery, GalleryStore, StoredGallery } from "./store.ts";

/** Others may have told doors something at the same time: after so many attempts there is no end in sight. */
const tellAttemptsMax = 8;

/** Why doors do not decide by another model now. */
export type PromotionRefusal = Refusal<
  "branchNotFound" | "modelNotFound" | "galleryEmpty" | "noFormerModel" | "activeModelChanged"
>;

/** By which model the doors of branches decide. Doors are told by one record of a branch, so that no look-up is without. */
export interface GalleryRules {
  /** Makes a branch's doors decide by a model. Throws OUTCOME_UNKNOWN when it will be told later. */
  promote(branchId: string, modelId: string): Promise<CountedGallery | PromotionRefusal>;
  /** Makes them decide by the former model again, if `modelId` is the active one. Throws as `promote`. */
  rollBack(branchId: string, modelId: string): Promise<CountedGallery | PromotionRefusal>;
  /** Makes a model the active one of those branches that have none, in the transaction `tx` that holds its galleries. */
  openDoors(tx: Transaction, modelId: string, branchIds: readonly string[]): Promise<void>;
  /** Tells doors of branches what is active there, unless they are known to know. Throws UNAVAILABLE: it is told later. */
  tell(branchIds: readonly string[]): Promise<void>;
}

/** Stores, and what tells doors. */
interface GalleryRulesDeps {
  readonly database: Database;
  readonly galleries: GalleryStore;
  readonly branches: Pick<BranchStore, "known">;
  readonly models: Pick<ModelStore, "find">;
  readonly enrolments: Pick<EnrolmentStore, "isAnybodyEnrolled">;
  readonly writer: Pick<FaceWriter, "activate" | "readActive">;
  readonly clock: Pick<Clock, "now">;
}

export function createGalleryRules(deps: GalleryRulesDeps): GalleryRules {
  const { database, galleries, branches, models, enrolments } = deps;
  const tellOne = doorTeller(deps);

  const tell: GalleryRules["tell"] = async (branchIds) => {
    for (const branchId of await galleries.untoldAmong(database.sql, branchIds)) await tellOne(branchId);
  };

  /** Decides with what is active at the branch locked, then tells doors, and gives what they decide by now. */
  const change = async (
    branchId: string,
    modelId: string,
    decide: (tx: Transaction) => Promise<PromotionRefusal | undefined>,
  ): Promise<CountedGallery | PromotionRefusal> => {
    const refusal = await database.transaction(async (tx) => {
      const [known] = await branches.known(tx, [branchId]);
      if (known === undefined) return refuse("branchNotFound", { branch_id: branchId });
      if ((await models.find(tx, modelId)) === undefined) return refuse("modelNotFound", { model_id: modelId });
      await galleries.holdActive(tx, [branchId]);
      return decide(tx);
    });
    if (isRefusal(refusal)) return refusal;
    try {
      await tellOne(branchId);
    } catch (error) {
      throw mlopsErrors.outcomeUnknown({ cause: error });
    }
    const active = await galleries.active(database.sql, branchId);
    const [gallery] = await galleries.list(database.sql, branchId, active === undefined ? [] : [active.modelId]);
    if (gallery === undefined) throw new Error(`branch ${branchId} has no active gallery after it got one`);
    return gallery;
  };

  return {
    tell,

    promote: (branchId, modelId) =>
      change(branchId, modelId, async (tx) => {
        const active = await galleries.inState(tx, branchId, "ACTIVE");
        if (active?.modelId === modelId) return undefined;
        const [gallery] = await galleries.of(tx, modelId, [branchId]);
        if (gallery === undefined || !(await enrolments.isAnybodyEnrolled(tx, branchId, modelId))) {
          return refuse("galleryEmpty", { branch_id: branchId, model_id: modelId });
        }
        await activate(deps, tx, gallery, active, "FORMER");
        return undefined;
      }),

    rollBack: (branchId, modelId) =>
      change(branchId, modelId, async (tx) => {
        const active = await galleries.inState(tx, branchId, "ACTIVE");
        if (active?.modelId !== modelId) {
          return refuse("activeModelChanged", { branch_id: branchId, model_id: modelId });
        }
        const former = await galleries.inState(tx, branchId, "FORMER");
        if (former === undefined) return refuse("noFormerModel", { branch_id: branchId });
        await activate(deps, tx, former, active, "STANDBY");
        return undefined;
      }),

    openDoors: async (tx, modelId, branchIds) => {
      const closed = await galleries.withoutActive(tx, branchIds);
      if (closed.length === 0) return;
      await galleries.holdActive(tx, closed);
      for (const gallery of await galleries.of(tx, modelId, closed)) {
        const active = await galleries.inState(tx, gallery.branchId, "ACTIVE");
        if (active === undefined) await activate(deps, tx, gallery, undefined, "STANDBY");
      }
    },
  };
}

/** Tells doors what is active at a branch, alone of all who do. */
function doorTeller({ database, galleries, writer }: GalleryRulesDeps) {
  return (branchId: string): Promise<void> =>
    database.transaction(async (tx) => {
      await galleries.holdActive(tx, [branchId]);
      const wanted = await galleries.active(tx, branchId);
      if (wanted === undefined) return;
      for (let attempt = 1; ; attempt += 1) {
        const told = await writer.readActive(branchId);
        if (told !== undefined && isSameGallery(told, wanted)) break;
        const outcome = await writer.activate(wanted, told?.revision ?? 0);
        if (outcome.kind === "done") break;
        if (attempt === tellAttemptsMax) throw new Error(`the active gallery of branch ${branchId} keeps changing`);
      }
      await galleries.told(tx, branchId, wanted.revision);
    });
}

/** Makes a gallery the active one of a locked branch; the one before gets another state. */
async function activate(
  { galleries, clock }: GalleryRulesDeps,
  tx: Transaction,
  gallery: StoredGallery,
  before: StoredGallery | undefined,
  beforeBecomes: "FORMER" | "STANDBY",
): Promise<void> {
  const nowMs = clock.now();
  const former = await galleries.inState(tx, gallery.branchId, "FORMER");
  if (former !== undefined) await galleries.setState(tx, former, "STANDBY", nowMs);
  if (before !== undefined) await galleries.setState(tx, before, beforeBecomes, nowMs);
  await galleries.setState(tx, gallery, "ACTIVE", nowMs);
  await galleries.activeChanged(tx, gallery.branchId);
}
