import { toBinary } from "@bufbuild/protobuf";
import { EnrolmentSchema } from "../../../gen/muin/face/v1/enrolment_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { KeyedGallery } from "../../shared/gallery.ts";
import { announceEnrolment, type MlopsPublish } from "../events.ts";
import type { GalleryRules } from "../gallery/rules.ts";
import type { GalleryStore } from "../gallery/store.ts";
import type { DigestStore } from "../digest/store.ts";
import type { RequestStore } from "../request/store.ts";
import { digestBytes, isOther, type Faces } from "./faces.ts";
import { toEnrolment } from "./message.ts";
import type { EnrolmentStore, FaceChange, StoredEnrolment } from "./store.ts";

/**
 * The second half of a change of faces. A change is recorded first, then the face store is written in one step, and then the change is made
 * known and its record removed in one transaction. All of it happens while the galleries are held, so that whoever holds them
 * and finds a change recorded knows that it was left half done, and settles it: finishes it if the face store has it, undoes it if not.
 */
export interface FaceSaga {
  /** Makes a change known whose faces are written, and ends it. Throws when somebody has settled it: the galleries were not held. */
  complete(tx: Transaction, change: FaceChange): Promise<StoredEnrolment>;
  /**
   * Settles a change that was left half done, in a transaction of its own; its galleries must be held by the caller. Gives the enrolment when it was finished;
   * `undefined` when it was undone, or had ended before.
   */
  settle(change: Pick<FaceChange, "changeId">): Promise<StoredEnrolment | undefined>;
}

export function createFaceSaga(deps: {
  readonly database: Database;
  readonly enrolments: Pick<EnrolmentStore, "lock" | "save" | "remove" | "lockChange" | "end" | "addOverride">;
  readonly galleries: Pick<GalleryStore, "of">;
  readonly doors: Pick<GalleryRules, "openDoors">;
  readonly requests: Pick<RequestStore, "remember">;
  readonly digests: Pick<DigestStore, "record">;
  readonly faces: Pick<Faces, "read" | "giveUp">;
  readonly publish: MlopsPublish;
  readonly clock: Pick<Clock, "now">;
  /** How long a request_id is remembered, in milliseconds. */
  readonly requestIdWindowMs: number;
}): FaceSaga {
  const { database, enrolments, galleries, doors, requests, digests, faces, publish, clock } = deps;

  const complete: FaceSaga["complete"] = async (tx, change) => {
    // Statements that are given together go in one trip, and one after the other.
    const [locked, written, isEnded] = await Promise.all([
      enrolments.lock(tx, change.enrolmentId),
      galleries.of(tx, change.modelId, change.branchIds),
      enrolments.end(tx, change.changeId),
    ]);
    if (locked === undefined || !isEnded) {
      throw new Error("a change of faces was settled while it was being made");
    }
    const nowMs = clock.now();
    const { enrolment: before, isNew } = locked;
    const version = isNew ? before.version : before.version + 1;
    const enrolment = { ...before, faceCount: change.faceCount, version, updateTimeMs: nowMs };
    const reply = {
      enrolmentId: change.enrolmentId,
      response: toBinary(EnrolmentSchema, toEnrolment(enrolment)),
      expireTimeMs: nowMs + deps.requestIdWindowMs,
    };
    await Promise.all([
      enrolments.save(tx, enrolment),
      announceEnrolment(tx, publish, enrolment),
      ...written.flatMap((gallery) => {
        const digest = digestIn(change, gallery.branchId);
        return digest === undefined ? [] : [digests.record(tx, change.enrolmentId, gallery, digest)];
      }),
      ...(change.overrides ? [enrolments.addOverride(tx, change, nowMs)] : []),
      ...(change.request.requestId === "" ? [] : [requests.remember(tx, change.request, reply)]),
      doors.openDoors(tx, change.modelId, change.branchIds),
    ]);
    return enrolment;
  };

  /** Whether the face store has what a change was to write. */
  const isWritten = async (change: FaceChange, memberId: string, [gallery]: readonly KeyedGallery[]) => {
    if (gallery === undefined) return false;
    const templates = await faces.read({ memberId, enrolmentId: change.enrolmentId }, gallery);
    const digest = digestIn(change, gallery.branchId);
    return digest !== undefined && !isOther(templates, digest);
  };

  return {
    complete,

    settle: ({ changeId }) =>
      database.transaction(async (tx) => {
        const change = await enrolments.lockChange(tx, changeId);
        if (change === undefined) return undefined;
        const locked = await enrolments.lock(tx, change.enrolmentId);
        if (locked === undefined) throw new Error("a change of faces has no enrolment");
        const { enrolmentId, memberId } = locked.enrolment;
        const written = await galleries.of(tx, change.modelId, change.branchIds);
        if (await isWritten(change, memberId, written)) return complete(tx, change);
        if (!locked.isNew) {
          await enrolments.end(tx, changeId); // The faces are those of before.
          return undefined;
        }
        await faces.giveUp({ memberId, enrolmentId }, written, clock.now());
        await enrolments.remove(tx, enrolmentId);
        return undefined;
      }),
  };
}

/** What a change was to write at a branch; `undefined`: that was not recorded. */
function digestIn({ branchIds, digest }: FaceChange, branchId: string): Uint8Array | undefined {
  const start = branchIds.indexOf(branchId) * digestBytes;
  return start >= 0 && start < digest.length ? digest.subarray(start, start + digestBytes) : undefined;
}
