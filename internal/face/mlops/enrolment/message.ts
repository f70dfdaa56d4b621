import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EnrolmentSchema, type Enrolment } from "../../../gen/muin/face/v1/enrolment_service_pb.ts";
import type { StoredEnrolment } from "./store.ts";

/** An enrolment as callers see it. */
export function toEnrolment(stored: StoredEnrolment): Enrolment {
  const { enrolmentId, memberId, branchIds, modelId, faceCount, consent, createTimeMs, updateTimeMs } = stored;
  return create(EnrolmentSchema, {
    enrolmentId,
    memberId,
    branchIds: [...branchIds],
    modelId,
    embeddingCount: faceCount,
    consent: { textVersion: consent.textVersion, time: timestampFromMs(consent.timeMs) },
    consentRecorder: consent.recorder,
    createTime: timestampFromMs(createTimeMs),
    updateTime: timestampFromMs(updateTimeMs),
  });
}
