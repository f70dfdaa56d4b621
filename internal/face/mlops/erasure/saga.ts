import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { GalleryId } from "../../shared/gallery.ts";
import type { AppliedWait } from "./applied.ts";
import type { ErasableFaces } from "./faces.ts";
import type { ReceiptSigner } from "../receipt/signer.ts";
import type { ReceiptKeyStore } from "../receipt/store.ts";
import { erasureSteps, type ErasureStep, type ErasureStore, type StoredErasure, type TakenStep } from "./store.ts";

/**
 * The erasure of a face, step by step. Each step may be taken twice, and stands in the ledger once it was taken: a crash between any two, or within one, leaves
 * something that is gone on with.
 *
 *     RECORDED  the enrolment has gone from the enrolments into the ledger, in one transaction
 *     DENIED    no look-up in the store that begins from now on finds it
 *     APPLIED   no look-up anywhere does
 *     REMOVED   vector sets, copies and names are rid of it
 *     PROBED    a search for its own templates, which leaves nobody out, does not find it
 *     PURGED    what told doors of its templates is gone
 *     SETTLED   every live process has applied the removal, too
 *     SIGNED    nothing was left of it at last: the receipt, FaceVectorErased, and what follows from them, in one transaction
 *
 * Nothing is removed before it is denied: a put that is still on its way would bring it back. Nothing is signed before every live process has let go of it.
 */
export interface ErasureSaga {
  /** Denies it, if that was not done; returns the erasure with that step. */
  deny(erasure: StoredErasure): Promise<StoredErasure>;
  /** Waits for who decides at doors, at most `waitMs`; returns the erasure, with the step APPLIED if it was denied and nobody is left, and the ids of those who are. */
  settleDenial(erasure: StoredErasure, waitMs: number, signal?: AbortSignal): Promise<DenialOutcome>;
  /** Takes all steps that can be taken. Waits for who decides at doors at most `waitMs` each time; returns the erasure as far as it came. */
  advance(erasure: StoredErasure, waitMs: number, signal?: AbortSignal): Promise<StoredErasure>;
}

/** Stands among the pending instances while the face store was not told or cannot be asked: no process at a door can know. */
export const faceStoreName = "face-store";

/** How far a denial is known. */
export interface DenialOutcome {
  readonly erasure: StoredErasure;
  /** Ids of the live processes that have not applied it; `faceStoreName` instead while the store was not told or cannot be asked. */
  readonly pendingInstances: readonly string[];
}

/** What is taken again when something of the face was found after it had been removed. */
const afterDenial: readonly ErasureStep[] = ["REMOVED", "PROBED", "PURGED", "SETTLED"];
/** Without which nothing is signed. */
const beforeSigning = erasureSteps.filter((step) => step !== "SIGNED");

/** What the saga works on. */
export interface SagaDeps {
  readonly database: Database;
  readonly erasures: Pick<ErasureStore, "took" | "retake" | "lock" | "sign">;
  readonly faces: ErasableFaces;
  /** All galleries that branches have or had, by all models. */
  readonly galleriesOf: (branchIds: readonly string[]) => Promise<readonly GalleryId[]>;
  readonly applied: AppliedWait;
  readonly signer: ReceiptSigner;
  readonly receiptKeys: Pick<ReceiptKeyStore, "add">;
  /** Does what follows from a receipt, in the transaction that keeps it. */
  readonly signed: (tx: Transaction, erasure: StoredErasure, timeMs: number) => Promise<void>;
  /** How long a face stays denied after its receipt, in milliseconds: longer than anything that was on its way can take. */
  readonly denialKeptMs: number;
  readonly clock: Clock;
}

export function createErasureSaga(deps: SagaDeps): ErasureSaga {
  const { database, erasures, faces, applied, clock } = deps;

  const took = async (
    erasure: StoredErasure,
    step: ErasureStep,
    { detail = "", changeId = "" }: { readonly detail?: string; readonly changeId?: string } = {},
  ): Promise<StoredErasure> => {
    const taken: TakenStep = { step, timeMs: clock.now(), detail, changeId };
    await erasures.took(database.sql, erasure.erasureId, taken);
    return withStep(erasure, taken);
  };

  const deny = async (erasure: StoredErasure): Promise<StoredErasure> => {
    if (stepOf(erasure, "DENIED") !== undefined) return erasure;
    return took(erasure, "DENIED", { changeId: await faces.deny(erasure) });
  };

  const settleDenial = async (erasure: StoredErasure, waitMs: number, signal?: AbortSignal): Promise<DenialOutcome> => {
    const denied = stepOf(erasure, "DENIED");
    if (denied === undefined) return { erasure, pendingInstances: [faceStoreName] };
    if (stepOf(erasure, "APPLIED") !== undefined) return { erasure, pendingInstances: [] };
    const behind = await applied.waitUntilApplied(denied.changeId, waitMs, signal);
    if (behind.length > 0) return { erasure, pendingInstances: behind.map(({ instanceId }) => instanceId) };
    return { erasure: await took(erasure, "APPLIED"), pendingInstances: [] };
  };

  /** Takes it out of the store, and shows that it is. */
  const remove = async (erasure: StoredErasure, galleries: readonly GalleryId[]): Promise<StoredErasure> => {
    let now = erasure;
    const isProbed = stepOf(now, "PROBED") !== undefined;
    const probes = isProbed ? [] : await faces.probes(now, galleries);
    if (stepOf(now, "REMOVED") === undefined) {
      const changeId = await faces.remove(now, galleries);
      now = await took(now, "REMOVED", { changeId });
    }
    if (!isProbed) {
      for (const probe of probes) {
        if (await faces.isFound(now, probe)) return again(now);
      }
      now = await took(now, "PROBED", { detail: probeWords(probes.length) });
    }
    if (stepOf(now, "PURGED") === undefined) {
      await faces.scrub(now);
      now = await took(now, "PURGED");
    }
    return now;
  };

  const settleRemoval = async (erasure: StoredErasure, waitMs: number, signal?: AbortSignal) => {
    const removed = stepOf(erasure, "REMOVED");
    if (removed === undefined || stepOf(erasure, "SETTLED") !== undefined) return erasure;
    const behind = await applied.waitUntilApplied(removed.changeId, waitMs, signal);
    return behind.length === 0 ? took(erasure, "SETTLED") : erasure;
  };

  const again = async (erasure: StoredErasure): Promise<never> => {
    await erasures.retake(database.sql, erasure.erasureId, afterDenial);
    throw new Error("something of the face was found after it had been removed: it is removed again");
  };

  return {
    deny,
    settleDenial,
    advance: async (erasure, waitMs, signal) => {
      let now = await deny(erasure);
      const galleries = await deps.galleriesOf(now.branchIds);
      now = await remove(now, galleries);
      ({ erasure: now } = await settleDenial(now, waitMs, signal));
      if (stepOf(now, "APPLIED") === undefined) return now;
      now = await settleRemoval(now, waitMs, signal);
      if (stepOf(now, "SETTLED") === undefined) return now;
      if ((await faces.left(now, galleries)) !== undefined) return again(now);
      return sign(deps, now.erasureId);
    },
  };
}

/** Signs an erasure whose steps have all been taken, unless somebody has signed it, or takes steps again. */
function sign(deps: SagaDeps, erasureId: string): Promise<StoredErasure> {
  const { database, erasures, receiptKeys, signer, signed, denialKeptMs, clock } = deps;
  return database.transaction(async (tx) => {
    const known = await erasures.lock(tx, erasureId);
    if (known === undefined) throw new Error("an entry of the ledger is gone");
    if (known.receipt !== "" || !beforeSigning.every((step) => stepOf(known, step) !== undefined)) return known;
    const timeMs = clock.now();
    const complete = withStep(known, { step: "SIGNED", timeMs, detail: "", changeId: "" });
    await receiptKeys.add(tx, await signer.key(), timeMs);
    const receipt = await signer.sign(complete, timeMs);
    await erasures.sign(tx, erasureId, receipt, timeMs, timeMs + denialKeptMs);
    await signed(tx, complete, timeMs);
    return { ...complete, receipt };
  });
}

/** A step that was taken; `undefined`: it was not. */
export function stepOf(erasure: StoredErasure, step: ErasureStep): TakenStep | undefined {
  return erasure.steps.find((taken) => taken.step === step);
}

function withStep(erasure: StoredErasure, taken: TakenStep): StoredErasure {
  const steps = [...erasure.steps.filter(({ step }) => step !== taken.step), taken];
  return {
    ...erasure,
    steps: steps.toSorted((one, other) => erasureSteps.indexOf(one.step) - erasureSteps.indexOf(other.step)),
  };
}

/** What a receipt says of how it was shown that the face is found no more. */
function probeWords(searches: number): string {
  if (searches === 0) return "nothing of it was left to search with";
  return `searched for ${searches} of its own templates among all faces, those on the deny-list included: not found`;
}
