import { create, type MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { CountInfoSchema, CountState, type CountInfo } from "../../../gen/muin/count/v1/count_pb.ts";
import type {
  CountManagementService,
  CreateCountRequest,
  CreateCountResponse,
  CreateCountResultSchema,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { assertNever } from "../../../platform/errors/assert-never.ts";
import type { MuinError } from "../../../platform/errors/muin-error.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { fieldsInvalid, resourceErrors } from "../../../platform/resource/errors.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import { itemStatusOf } from "../../../platform/rpc/call/item-status.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { CreationQueue } from "./creation-queue.ts";
import type { Creation, CreationRefusal, CreationResult } from "./creations.ts";
import type { CountChanges, MutationRefusal } from "./rules.ts";
import { labelFilterOf, planCreation, planUpdate } from "./plan.ts";
import { toCountInfo, type CountStateName } from "./record.ts";
import { countManagementErrors } from "../errors.ts";
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
  readonly creations: CreationQueue;
  readonly log: Logger;
}

/** The RPCs that make, change and show Counts. */
export function createInfoHandlers({
  infos,
  changes,
  creations,
  log,
}: InfoHandlersDeps): Omit<ServiceImpl<typeof CountManagementService>, "verifyCounts"> {
  return {
    createCount: async (request, context) => {
      const [result] = await creations.create([creationOf(request, context)]);
      return created(request.countId, result as CreationResult);
    },

    batchCreateCounts: async ({ requests }, context) => {
      const results: MessageInitShape<typeof CreateCountResultSchema>[] = Array.from({ length: requests.length });
      const fail = (place: number, error: unknown): void => {
        const { status, hidden } = itemStatusOf(error);
        if (hidden !== undefined) log.error("a creation of a batch failed", { err: hidden });
        results[place] = { result: { case: "error", value: status } };
      };
      const asked: { readonly creation: Creation; readonly place: number }[] = [];
      for (const [place, request] of requests.entries()) {
        try {
          asked.push({ creation: creationOf(request, context), place });
        } catch (error) {
          fail(place, error);
        }
      }
      // One part after the other, so that one call holds no more of the queue than a batch.
      for (let from = 0; from < asked.length; from += creations.batchMax) {
        const part = asked.slice(from, from + creations.batchMax);
        const made = await creations.create(part.map(({ creation }) => creation)).catch((error: Error) => error);
        for (const [index, { creation, place }] of part.entries()) {
          try {
            const result = made instanceof Error ? made : (made[index] as CreationResult);
            results[place] = { result: { case: "success", value: created(creation.countId, result) } };
          } catch (error) {
            fail(place, error);
          }
        }
      }
      return { results };
    },

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

/** The creation that a request asks for. Throws what is wrong with it. */
function creationOf(request: CreateCountRequest, context: HandlerContext): Creation {
  const { requestId } = request;
  const planned = planCreation(request.countId, request.countInfo, request.initialValue);
  const { countId, content, initialValue } = planned;
  const fingerprint = fingerprintOf("CREATE", countId, [content, initialValue]);
  return { ...planned, request: { principal: callerOf(context).principal, requestId, fingerprint } };
}

/** The reply to a creation. Throws why there is none. */
function created(countId: string, result: CreationResult): CreateCountResponse {
  if (result instanceof Error) throw result;
  if ("refused" in result) throw refusalOf(countId, result);
  return result;
}

/** The reply to a mutation. Throws why it was refused. */
function made(countId: string, answer: CreateCountResponse | MutationRefusal): CreateCountResponse {
  if ("refused" in answer) throw refusalOf(countId, answer);
  return answer;
}

function refusalOf(countId: string, refusal: MutationRefusal | CreationRefusal): MuinError {
  const count = { count_id: countId };
  switch (refusal.refused) {
    case "COUNT_EXISTS":
      return countManagementErrors.countExists(count);
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
      return resourceErrors.requestIdReused({
        violations: [{ field: "request_id", description: "was used for another request" }],
      });
    default:
      return assertNever(refusal);
  }
}

function infoOf({ countInfo }: CreateCountResponse): { countInfo?: CountInfo } {
  return countInfo === undefined ? {} : { countInfo };
}
