import { create } from "@bufbuild/protobuf";
import { durationMs, type Duration } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { type CountReadService, GetCountResponseSchema } from "../../gen/muin/count/v1/count_read_service_pb.ts";
import type { CountReader } from "./value/reader.ts";

/** How old a value may be when the caller does not say. */
const stalenessMsDefault = 1000;

/** The RPCs of CountReadService. */
export function createHandlers({
  reader,
}: {
  readonly reader: Pick<CountReader, "read" | "readAll">;
}): ServiceImpl<typeof CountReadService> {
  return {
    getCount: ({ countId, maxStaleness }) => {
      const count = reader.read(countId, stalenessOf(maxStaleness));
      return count instanceof Promise
        ? count.then((count) => create(GetCountResponseSchema, { count }))
        : create(GetCountResponseSchema, { count });
    },
    batchGetCounts: async ({ countIds, maxStaleness }) => {
      const counts = await reader.readAll(countIds, stalenessOf(maxStaleness));
      return {
        counts: counts.filter((count) => count !== undefined),
        missingCountIds: countIds.filter((_, index) => counts[index] === undefined),
      };
    },
  };
}

function stalenessOf(maxStaleness: Duration | undefined): number {
  return maxStaleness === undefined ? stalenessMsDefault : durationMs(maxStaleness);
}
