import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  CountCheckState,
  type CountManagementService,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { afterOf, pageSizeDefault, pageTokenOf } from "../../../platform/resource/page-token.ts";
import type { CountVerifier } from "./rules.ts";

/** The RPC that compares Counts with the sums of their changes. */
export function createVerifyHandlers({
  verifier,
}: {
  readonly verifier: Pick<CountVerifier, "verify">;
}): Pick<ServiceImpl<typeof CountManagementService>, "verifyCounts"> {
  return {
    verifyCounts: async (request) => {
      const token = ["verify", request.prefix];
      const after = afterOf(token, request.pageToken);
      const pageSize = request.pageSize === 0 ? pageSizeDefault : request.pageSize;
      const { checks, last } = await verifier.verify(request.prefix, after, pageSize);
      return {
        checks: checks.map(({ watched, stored, verdict }) => ({
          countId: watched.countId,
          sum: watched.sum,
          sumRevision: watched.sumRevision,
          value: stored.value,
          revision: stored.revision,
          sinceRevision: watched.sinceRevision,
          state: CountCheckState[verdict],
          watchTime: watched.watchTimeMs === undefined ? undefined : timestampFromMs(watched.watchTimeMs),
        })),
        nextPageToken: last === "" ? "" : pageTokenOf(token, last),
      };
    },
  };
}
