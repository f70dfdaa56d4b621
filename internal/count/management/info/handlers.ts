import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { CountInfoSchema, CountState, type CountInfo } from "../../../gen/muin/count/v1/count_pb.ts";
import type {
  CountManagementService,
  CreateCountResponse,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { MuinError } from "../../../platform/errors/muin-error.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { fieldsInvalid, resourceErrors } from "../../../platform/resource/errors.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { CountChanges, MutationRefusal } from "./rules.ts";
import { labelFilterOf, planUpdate } from "./plan.ts";
import { toCountInfo, type CountStateName } from "./record.ts";
import { countManagementErrors } from "../errors.ts";
import { requestIdReused } from "../request/errors.ts";
import { fingerprintOf } from "../request/fingerprint.ts";
import type { InfoStore } from "./store.ts";

const stateNames: ReadonlyMap<number, CountStateName> = new Map([
  [CountState.UNSPECIFIED, "ACTIVE"],
  [CountState.PENDING, "PENDING"],
  [CountState.ACTIVE, "ACTIVE"],
  [CountState.DELETING, "DELETING"],
  [CountState.DELETED, "DELETED"],
]);

/** Reads of Counts, and the saga that changes them. */
export interface InfoHandlersDeps {
  readonly infos: Pick<InfoStore, "get" | "list">;
  readonly changes: Pick<CountChanges, "mutate">;
}

/** The RPCs that change and show Counts. */
export function createInfoHandlers({
  infos,
  changes,
}: InfoHandlersDeps): Omit<
  ServiceImpl<typeof CountManagementService>,
  "createCount" | "batchCreateCounts" | "verifyCounts"
> {
  return {
    getCountInfo: async ({ countId }) => {
      const record = await infos.get(countId);
      if (record === undefined || record.state === "PENDING")
        throw countManagementErrors.countNotFound({ count_id: countId });
      return { countInfo: toCountInfo(record) };
    },

    updateCount: async (request, context) => {
      const mutation = planUpdate(request.countInfo ?? create(CountInfoSchema), request.updateMask?.paths);
      const answer = await changes.mutate(mutation, {
        principal: callerOf(context).principal,
        requestId: request.requestId,
        fingerprint: fingerprintOf(mutation.operation, mutation.countId, [mutation.etag, mutation.patch]),
      });
      return infoOf(made(mutation.countId, answer));
    },

    deleteCount: async ({ countId, etag, requestId }, context) => {
      const mutation = { operation: "DELETE", countId, etag } as const;
      const answer = await changes.mutate(mutation, {
        principal: callerOf(context).principal,
        requestId,
        fingerprint: fingerprintOf(mutation.operation, countId, [etag]),
      });
      return infoOf(made(countId, answer));
    },

    undeleteCount: async ({ countId, etag, requestId }, context) => {
      const mutation = { operation: "UNDELETE", countId, etag } as const;
      const answer = await changes.mutate(mutation, {
        principal: callerOf(context).principal,
        requestId,
        fingerprint: fingerprintOf(mutation.operation, countId, [etag]),
      });
      return infoOf(made(countId, answer));
    },

    listCounts: async (request) => {
      const labels = labelFilterOf(request.labels);
      const query = {
        prefix: request.prefix,
        labels,
        state: stateNames.get(request.state) ?? "ACTIVE",
      };
      const { page, nextPageToken } = await pageOf(
        ["list", query.prefix, query.state, labels],
        request,
        (after, limit) => infos.list(query, after, limit),
        ({ countId }) => countId,
      );
      return { countInfos: page.map(toCountInfo), nextPageToken };
    },
  };
}

/** The reply to a mutation. Throws why it was refused. */
function made(countId: string, answer: CreateCountResponse | MutationRefusal): CreateCountResponse {
  if ("refused" in answer) throw refusalOf(countId, answer);
  return answer;
}

function refusalOf(countId: string, refusal: MutationRefusal): MuinError {
  const count = { count_id: countId };
  switch (refusal.refused) {
    case "COUNT_NOT_FOUND":
      return countManagementErrors.countNotFound(count);
    case "COUNT_DELETED":
      return countManagementErrors.countDeleted(count);
    case "COUNT_NOT_DELETED":
      return countManagementErrors.countNotDeleted(count);
    case "COUNT_CONTENDED":
      return countManagementErrors.countContended(count);
    case "VALUE_OUT_OF_RANGE":
      return countManagementErrors.boundsExcludeValue({ ...count, value: refusal.value.toString() });
    case "FIELD_INVALID":
      return fieldsInvalid([refusal.violation]);
    case "ETAG_MISMATCH":
      return resourceErrors.etagMismatch({ resource: `Count ${countId}` }, { metadata: count });
    case "REQUEST_ID_REUSED":
      return requestIdReused();
    default:
      return assertNever(refusal);
  }
}

function infoOf({ countInfo }: CreateCountResponse): { countInfo?: CountInfo } {
  return countInfo === undefined ? {} : { countInfo };
}
