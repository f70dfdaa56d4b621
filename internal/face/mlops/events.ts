import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FaceVectorCreatedSchema, FaceVectorErasedSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import { UserDataErasedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { Transaction } from "../../platform/postgres/database.ts";
import type { Publish } from "../../platform/service/delivery.ts";
import type { StoredEnrolment } from "./enrolment/store.ts";
import type { StoredErasure } from "./erasure/store.ts";

/** Events that mlops publishes. */
export const published = [FaceVectorCreatedSchema, FaceVectorErasedSchema, UserDataErasedSchema] as const;

/** Records one of mlops' events in a transaction. */
export type MlopsPublish = Publish<typeof published>;

/** Records the present state of an enrolment. Its row must be locked by `tx`. */
export async function announceEnrolment(
  tx: Transaction,
  publish: MlopsPublish,
  { enrolmentId, memberId, branchIds, modelId, consent, version, updateTimeMs }: StoredEnrolment,
): Promise<void> {
  await publish(tx, FaceVectorCreatedSchema, {
    enrolmentId,
    memberId,
    branchIds: [...branchIds],
    modelId,
    consent: { textVersion: consent.textVersion, time: timestampFromMs(consent.timeMs) },
    aggregateVersion: BigInt(version),
    time: timestampFromMs(updateTimeMs),
  });
}

/** Records that a face is erased for good, as its receipt says. */
export async function announceFaceErased(
  tx: Transaction,
  publish: MlopsPublish,
  { enrolmentId, memberId, version }: StoredErasure,
  timeMs: number,
): Promise<void> {
  await publish(tx, FaceVectorErasedSchema, {
    enrolmentId,
    memberId,
    aggregateVersion: BigInt(version),
    time: timestampFromMs(timeMs),
  });
}

/** Records that everything of a deleted person is gone here. */
export async function announceErasure(
  tx: Transaction,
  publish: MlopsPublish,
  userId: string,
  aggregateVersion: bigint,
  nowMs: number,
): Promise<void> {
  await publish(tx, UserDataErasedSchema, {
    userId,
    service: "mlops",
    aggregateVersion,
    time: timestampFromMs(nowMs),
  });
}
