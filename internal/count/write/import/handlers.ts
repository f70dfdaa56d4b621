import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { CountImportService } from "../../../gen/muin/count/v1/count_import_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { fieldInvalid, resourceErrors } from "../../../platform/resource/errors.ts";
import { afterOf, pageTokenOf } from "../../../platform/resource/page-token.ts";
import type { CountImports, ImportProgress } from "./rules.ts";
import { deadlineOf } from "../write/handlers.ts";

/** Assignments of a page unless the caller asks for fewer. */
const pageSizeMax = 1000;

/** Implements CountImportService. */
export function createImportHandlers({
  imports,
  clock,
}: {
  readonly imports: CountImports;
  readonly clock: Clock;
}): ServiceImpl<typeof CountImportService> {
  return {
    startImport: async (request, context) => {
      const { optionsHash, prefix, importId, restart } = request;
      const progress = await imports.start(
        principalOf(context),
        { optionsHash, prefix, importId, restart },
        deadlineOf(context, clock),
      );
      return { ...wire(progress), ...(progress.tailHash === undefined ? {} : { tailHash: progress.tailHash }) };
    },
    importBatch: async (request, context) => {
      const countIds = request.writes.map(({ countId }) => countId);
      if (new Set(countIds).size !== countIds.length) {
        throw fieldInvalid("writes", "must name each Count at most once");
      }
      const { progress, refused } = await imports.apply(
        principalOf(context),
        request.importId,
        {
          sequence: Number(request.sequence),
          offsetEnd: Number(request.offsetEnd),
          lines: Number(request.lines),
          countIds,
          deltas: request.writes.map(({ delta }) => Number(delta)),
          assignments: request.assignments.map(({ value, countId }) => [value, countId] as const),
          ...(request.tailHash.length === 0 ? {} : { tailHash: request.tailHash }),
        },
        deadlineOf(context, clock),
      );
      const { offset, sequence } = wire(progress);
      return {
        offset,
        sequence,
        refused: refused.map(({ countId, delta, reason }) => ({ countId, delta: BigInt(delta), reason })),
      };
    },
    getImport: async ({ importId, pageSize, pageToken }, context) => {
      const query = ["imports", importId];
      const from = placeOf(query, pageToken);
      const count = pageSize === 0 ? pageSizeMax : pageSize;
      const { progress, assignments } = await imports.read(principalOf(context), importId, from, count + 1);
      return {
        ...wire(progress),
        assignments: assignments.slice(0, count).map(([value, countId]) => ({ value, countId })),
        nextPageToken: assignments.length > count ? pageTokenOf(query, (from + count).toString()) : "",
      };
    },
  };
}

function principalOf(context: HandlerContext): string {
  return callerOf(context).principal;
}

/** The place among the assignments at which the page begins. */
function placeOf(query: readonly unknown[], pageToken: string): number {
  const after = afterOf(query, pageToken);
  if (/^\d{0,9}$/.test(after)) return Number(after);
  throw resourceErrors.pageTokenInvalid();
}

function wire({ importId, offset, sequence, lines }: ImportProgress) {
  return { importId, offset: BigInt(offset), sequence: BigInt(sequence), lines: BigInt(lines) };
}
