import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  EnrolmentRecordSchema,
  type EnrolmentRecordService,
} from "../../../gen/muin/identity/v1/enrolment_record_service_pb.ts";
import type { Enrolment, Enrolments } from "./rules.ts";
import { pageSizeOf, subjectOf } from "../request.ts";

/** Serves the records of enrolments. */
export function createEnrolmentRecordHandlers(enrolments: Enrolments): ServiceImpl<typeof EnrolmentRecordService> {
  return {
    listEnrolmentRecords: async (request, context) => {
      const userId = subjectOf(context, request.userId, "users.read");
      const pageSize = pageSizeOf(request.pageSize);
      const found = await enrolments.list(userId, pageSize, request.pageToken);
      return {
        enrolmentRecords: found.map(recordOf),
        nextPageToken: found.length < pageSize ? "" : (found.at(-1)?.enrolmentId ?? ""),
      };
    },
  };
}

/** An enrolment as callers see it. */
export function recordOf(enrolment: Enrolment): MessageInitShape<typeof EnrolmentRecordSchema> {
  const { consentTimeMs, enrolTimeMs, eraseTimeMs, branchIds, ...plain } = enrolment;
  return {
    ...plain,
    branchIds: [...branchIds],
    ...(consentTimeMs === undefined ? {} : { consentTime: timestampFromMs(consentTimeMs) }),
    ...(enrolTimeMs === undefined ? {} : { enrolTime: timestampFromMs(enrolTimeMs) }),
    ...(eraseTimeMs === undefined ? {} : { eraseTime: timestampFromMs(eraseTimeMs) }),
  };
}
