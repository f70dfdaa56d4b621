import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  FaceErasureSchema,
  FaceErasureState,
  FaceErasureStepKind,
  type FaceErasure,
} from "../../../gen/muin/face/v1/face_erasure_pb.ts";
import { stepOf, type DenialOutcome } from "./saga.ts";

/** An erasure as callers see it. */
export function toFaceErasure({ erasure, pendingInstances }: DenialOutcome): FaceErasure {
  const { erasureId, enrolmentId, memberId, branchIds, modelId, steps, createTimeMs, receipt } = erasure;
  return create(FaceErasureSchema, {
    erasureId,
    enrolmentId,
    memberId,
    branchIds: [...branchIds],
    modelId,
    state: FaceErasureState[stepOf(erasure, "APPLIED") === undefined ? "PENDING" : "DONE"],
    pendingInstances: [...pendingInstances],
    steps: steps.map(({ step, timeMs, detail }) => ({
      kind: FaceErasureStepKind[step],
      time: timestampFromMs(timeMs),
      detail,
    })),
    createTime: timestampFromMs(createTimeMs),
    receipt,
  });
}
