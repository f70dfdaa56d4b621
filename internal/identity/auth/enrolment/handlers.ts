import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type {
  EnrolmentRecordSchema,
  EnrolmentRecordService,
} from "../../../gen/muin/identity/v1/enrolment_record_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import type { Enrolments } from "./rules.ts";
import type { Enrolment } from "./store.ts";

/** Serves the records of enrolments. */
export function createEnrolmentRecordHandlers(enrolments: Enrolments): ServiceImpl<typeof EnrolmentRecordService> {
  return {
    listEnrolmentRecords: async (request, context) => {
      const { page, nextPageToken } = orThrow(await enrolments.list(callerOf(context), request));
      return { enrolmentRecords: page.map(recordOf), nextPageToken };
    },
  };
}

/** An enrolment as callers see it. */
export function recordOf(enrolment: Enrolment): MessageInitShape<typeof EnrolmentRecordSchema> {
  const { enrolmentId, userId, branchIds, modelId, consentTextVersion } = enrolment;
  const { consentTimeMs, enrolTimeMs, eraseTimeMs } = enrolment;
  return {
    enrolmentId,
    userId,
    branchIds: [...branchIds],
    modelId,
    consentTextVersion,
    ...(consentTimeMs === undefined ? {} : { consentTime: timestampFromMs(consentTimeMs) }),
    ...(enrolTimeMs === undefined ? {} : { enrolTime: timestampFromMs(enrolTimeMs) }),
    ...(eraseTimeMs === undefined ? {} : { eraseTime: timestampFromMs(eraseTimeMs) }),
  };
}
