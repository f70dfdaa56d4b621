import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { republishAll } from "../../../platform/resource/republish.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { AccessRefusal, EnrolmentAccess } from "../enrolment/access.ts";
import type { EnrolmentStore, StoredEnrolment } from "../enrolment/store.ts";
import { refuse } from "../errors.ts";
import { announceFaceErased, type MlopsPublish } from "../events.ts";
import type { GalleryStore } from "../gallery/store.ts";
import type { RequestStore } from "../request/store.ts";
import { callWaitMs } from "./applied.ts";
import { faceStoreName, stepOf, type DenialOutcome, type ErasureSaga } from "./saga.ts";
import type { ErasureStore, StoredErasure } from "./store.ts";
import type { ErasureSweeper } from "./sweeper.ts";

/** Bytes of an erasure's id. */
const erasureIdBytes = 16;
/** Erasures that are announced again in one transaction. */
const republishPage = 200;

/** Erases faces, and tells how far it is. */
export interface ErasureRules {
  /**
   * Erases a face on behalf of the caller, and waits for the doors for up to 2 s. Of one that was erased it is the erasure that there is. While the face store is away
   * it is pending, and goes on by itself.
   */
  erase(caller: Caller, enrolmentId: string, signal: AbortSignal): Promise<DenialOutcome | ErasureRefusal>;
  /** How far an erasure is, by its id or that of its enrolment. */
  read(
    caller: Caller,
    named: { readonly erasureId: string; readonly enrolmentId: string },
  ): Promise<DenialOutcome | ErasureRefusal>;
  /** Begins the erasure of all faces of a person, in a transaction. */
  begin(tx: Transaction, memberId: string): Promise<void>;
  /** Records that each face is erased again, that has its receipt. Returns how many. */
  republish(): Promise<number>;
}

/** Why an erasure was refused. */
export type ErasureRefusal = AccessRefusal | Refusal<"enrolmentNotFound" | "erasureNotFound">;

/** Stores, who may, and who goes on with what is begun. */
interface ErasureRulesDeps {
  readonly database: Database;
  readonly enrolments: Pick<EnrolmentStore, "find" | "lock" | "remove" | "ofMember">;
  readonly galleries: Pick<GalleryStore, "hold">;
  readonly requests: Pick<RequestStore, "forgetEnrolment">;
  readonly erasures: Pick<ErasureStore, "add" | "find" | "get" | "signed">;
  readonly access: Pick<EnrolmentAccess, "refusalToChange" | "refusalToRead">;
  readonly saga: Pick<ErasureSaga, "deny" | "settleDenial">;
  readonly sweeper: Pick<ErasureSweeper, "wake">;
  readonly publish: MlopsPublish;
  readonly clock: Pick<Clock, "now">;
  readonly random: Pick<Random, "bytes">;
  readonly log: Logger;
}

export function createErasureRules(deps: ErasureRulesDeps): ErasureRules {
  const { database, enrolments, erasures, access, saga, sweeper, publish, log } = deps;

  const refusalToErase = async (
    caller: Caller,
    face: Pick<StoredErasure, "memberId" | "branchIds"> | undefined,
  ): Promise<AccessRefusal | undefined> =>
    // Whose face it is may always, suspended or not.
    face !== undefined && face.memberId !== "" && face.memberId === personIdOf(caller)
      ? undefined
      : access.refusalToChange(database.sql, caller, face?.branchIds ?? []);

  const begun = async (caller: Caller, enrolmentId: string): Promise<StoredErasure | ErasureRefusal> => {
    const { sql } = database;
    const enrolment = await enrolments.find(sql, enrolmentId);
    const refusal = await refusalToErase(caller, enrolment ?? (await erasures.find(sql, enrolmentId)));
    if (refusal !== undefined) return refusal;
    if (enrolment !== undefined) await database.transaction((tx) => record(deps, tx, enrolment, caller.principal));
    // Whoever was first, it is there now.
    return (await erasures.find(sql, enrolmentId)) ?? refuse("enrolmentNotFound", { enrolment_id: enrolmentId });
  };

  /** What can be told while the store cannot be asked. */
  const unsettled = (erasure: StoredErasure, error: unknown): DenialOutcome => {
    if (!isAway(error)) throw error;
    log.warn("an erasure waits for the face store", { erasure_id: erasure.erasureId, err: error });
    return { erasure, pendingInstances: [faceStoreName] };
  };

  return {
    erase: async (caller, enrolmentId, signal) => {
      const erasure = await begun(caller, enrolmentId);
      if (isRefusal(erasure)) return erasure;
      try {
        return await saga.settleDenial(await saga.deny(erasure), callWaitMs, signal);
      } catch (error) {
        return unsettled(erasure, error);
      } finally {
        sweeper.wake();
      }
    },

    read: async (caller, { erasureId, enrolmentId }) => {
      const { sql } = database;
      const erasure = erasureId === "" ? await erasures.find(sql, enrolmentId) : await erasures.get(sql, erasureId);
      const refusal = await access.refusalToRead(sql, caller, erasure);
      if (refusal !== undefined) return refusal;
      if (erasure === undefined) return refuse("erasureNotFound");
      try {
        return await saga.settleDenial(erasure, 0);
      } catch (error) {
        return unsettled(erasure, error);
      }
    },

    begin: async (tx, memberId) => {
      for (const enrolment of await enrolments.ofMember(tx, memberId)) await record(deps, tx, enrolment, "");
    },

    republish: () =>
      republishAll(async (after) => {
        const page = await erasures.signed(database.sql, after, republishPage);
        await database.transaction(async (tx) => {
          for (const erasure of page) {
            if (erasure.memberId === "") continue; // Whoever is deleted is told of otherwise.
            await announceFaceErased(tx, publish, erasure, stepOf(erasure, "SIGNED")?.timeMs ?? erasure.createTimeMs);
          }
        });
        return { last: page.at(-1)?.erasureId ?? "", recorded: page.length };
      }),
  };
}

/** Moves an enrolment, if it is still there, into the ledger. Whoever is writing faces of it is let come to an end. */
async function record(
  { enrolments, galleries, requests, erasures, clock, random }: ErasureRulesDeps,
  tx: Transaction,
  { enrolmentId, memberId, modelId, branchIds }: StoredEnrolment,
  principal: string,
): Promise<void> {
  await galleries.hold(tx, modelId, branchIds);
  const locked = await enrolments.lock(tx, enrolmentId);
  if (locked === undefined) return;
  await requests.forgetEnrolment(tx, enrolmentId);
  await enrolments.remove(tx, enrolmentId);
  await erasures.add(tx, {
    erasureId: random.bytes(erasureIdBytes).toHex(),
    enrolmentId,
    memberId,
    modelId,
    branchIds,
    principal,
    version: locked.enrolment.version + 1,
    createTimeMs: clock.now(),
  });
}

/** Whether a store is away or full: the erasure stands in the ledger and goes on once it can. */
function isAway(error: unknown): boolean {
  return error instanceof MuinError && (error.reason === "STORE_UNAVAILABLE" || error.reason === "STORE_FULL");
}
