import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type {
  CountManagementService,
  CreateCountRequest,
  CreateCountResponse,
  CreateCountResultSchema,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { itemStatusOf } from "../../../platform/rpc/call/item-status.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { countManagementErrors } from "../errors.ts";
import { requestIdReused } from "../request/errors.ts";
import { fingerprintOf } from "../request/fingerprint.ts";
import type { CreationQueue } from "./creation-queue.ts";
import type { Creation, CreationResult } from "./creations.ts";
import { planCreation } from "./plan.ts";

/** The RPCs that create Counts. */
export function createCreationHandlers({
  creations,
  log,
}: {
  readonly creations: CreationQueue;
  readonly log: Logger;
}): Pick<ServiceImpl<typeof CountManagementService>, "createCount" | "batchCreateCounts"> {
  return {
    createCount: async (request, context) => {
      return created(request.countId, await creations.create(creationOf(request, context)));
    },

    batchCreateCounts: async ({ requests }, context) => {
      const results: MessageInitShape<typeof CreateCountResultSchema>[] = Array.from({ length: requests.length });
      const causes: unknown[] = [];
      const fail = (place: number, error: unknown): void => {
        const { status, hidden } = itemStatusOf(error);
        if (hidden !== undefined) causes.push(hidden);
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
      const made = await creations.createAll(asked.map(({ creation }) => creation));
      for (const [index, { creation, place }] of asked.entries()) {
        try {
          results[place] = {
            result: { case: "success", value: created(creation.countId, made[index] as CreationResult) },
          };
        } catch (error) {
          fail(place, error);
        }
      }
      if (causes.length > 0) log.error("creations of a batch failed", { failed: causes.length, err: causes[0] });
      return { results };
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
  if (!("refused" in result)) return result;
  if (result.refused === "REQUEST_ID_REUSED") throw requestIdReused();
  throw countManagementErrors.countExists({ count_id: countId });
}
