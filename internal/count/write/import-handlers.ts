import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import type { CountImportService } from "../../gen/muin/count/v1/count_import_service_pb.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import { MuinError } from "../../platform/errors/muin-error.ts";
import { callerOf } from "../../platform/identity/caller.ts";
import type { CountImports, ImportProgress } from "./count-imports.ts";
import { deadlineOf } from "./handlers.ts";

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
      return wire(progress);
    },
    importBatch: async (request, context) => {
      const countIds = request.writes.map(({ countId }) => countId);
      if (new Set(countIds).size !== countIds.length) {
        throw new MuinError({
          code: "invalid_argument",
          reason: "VALIDATION",
          message: "a Count stands in a batch at most once",
          violations: [{ field: "writes", description: "must name each Count at most once" }],
        });
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
      const from = placeOf(pageToken);
      const count = pageSize === 0 ? pageSizeMax : pageSize;
      const { progress, assignments } = await imports.read(principalOf(context), importId, from, count + 1);
      return {
        ...wire(progress),
        assignments: assignments.slice(0, count).map(([value, countId]) => ({ value, countId })),
        nextPageToken: assignments.length > count ? (from + count).toString() : "",
      };
    },
  };
}

function principalOf(context: HandlerContext): string {
  return callerOf(context).principal;
}

function placeOf(pageToken: string): number {
  if (pageToken === "") return 0;
  if (/^\d{1,9}$/.test(pageToken)) return Number(pageToken);
  throw new MuinError({
    code: "invalid_argument",
    reason: "INVALID_PAGE_TOKEN",
    message: "page_token is not one that this method gave out",
    violations: [{ field: "page_token", description: "must come from the previous page" }],
  });
}

function wire({ importId, offset, sequence, lines }: ImportProgress) {
  return { importId, offset: BigInt(offset), sequence: BigInt(sequence), lines: BigInt(lines) };
}
