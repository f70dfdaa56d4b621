import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { CountInfoSchema, CountState, type CountInfo } from "../../../gen/muin/count/v1/count_pb.ts";
import type { CountManagementService } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { CountChanges } from "./rules.ts";
import { labelFilterOf, planCreation, planUpdate, toCountInfo, type CountStateName } from "./plan.ts";
import { countManagementErrors } from "../errors.ts";
import { fingerprintOf } from "./fingerprint.ts";
import type { CountInfoStore } from "./store.ts";

const stateNames: ReadonlyMap<number, CountStateName> = new Map([
  [CountState.UNSPECIFIED, "ACTIVE"],
  [CountState.PENDING, "PENDING"],
  [CountState.ACTIVE, "ACTIVE"],
  [CountState.DELETING, "DELETING"],
  [CountState.DELETED, "DELETED"],
]);

/** Reads of Counts, and the saga that changes them. */
export interface InfoHandlersDeps {
  readonly store: Pick<CountInfoStore, "get" | "list">;
  readonly changes: Pick<CountChanges, "mutate">;
}

/** The RPCs that make, change and show Counts. */
export function createInfoHandlers({
  store,
  changes,
}: InfoHandlersDeps): Omit<ServiceImpl<typeof CountManagementService>, "verifyCounts"> {
  return {
    createCount: (request, context) => {
      const mutation = planCreation(request.countId, request.countInfo, request.initialValue);
      const { content } = mutation;
      return changes.mutate(mutation, {
        principal: callerOf(context).principal,
        requestId: request.requestId,
        fingerprint: fingerprintOf(mutation.operation, mutation.countId, [content, mutation.initialValue]),
      });
    },

    getCountInfo: async ({ countId }) => {
      const record = await store.get(countId);
      if (record === undefined || record.state === "PENDING")
        throw countManagementErrors.countNotFound({ count_id: countId });
      return { countInfo: toCountInfo(record) };
    },

    updateCount: async (request, context) => {
      const mutation = planUpdate(request.countInfo ?? create(CountInfoSchema), request.updateMask?.paths);
      const { countInfo } = await changes.mutate(mutation, {
        principal: callerOf(context).principal,
        requestId: request.requestId,
        fingerprint: fingerprintOf(mutation.operation, mutation.countId, [mutation.etag, mutation.patch]),
      });
      return withInfo(countInfo);
    },

    deleteCount: async ({ countId, etag, requestId }, context) => {
      const mutation = { operation: "DELETE", countId, etag } as const;
      const { countInfo } = await changes.mutate(mutation, {
        principal: callerOf(context).principal,
        requestId,
        fingerprint: fingerprintOf(mutation.operation, countId, [etag]),
      });
      return withInfo(countInfo);
    },

    undeleteCount: async ({ countId, etag, requestId }, context) => {
      const mutation = { operation: "UNDELETE", countId, etag } as const;
      const { countInfo } = await changes.mutate(mutation, {
        principal: callerOf(context).principal,
        requestId,
        fingerprint: fingerprintOf(mutation.operation, countId, [etag]),
      });
      return withInfo(countInfo);
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
        (after, limit) => store.list(query, after, limit),
        ({ countId }) => countId,
      );
      return { countInfos: page.map(toCountInfo), nextPageToken };
    },
  };
}

function withInfo(countInfo: CountInfo | undefined): { countInfo?: CountInfo } {
  return countInfo === undefined ? {} : { countInfo };
}
