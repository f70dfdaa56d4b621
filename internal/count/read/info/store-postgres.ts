import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { CountInfoSchema, CountState } from "../../../gen/muin/count/v1/count_pb.ts";
import type { ReadOnlyDatabase } from "../../../platform/postgres/database.ts";
import type { InfoView, VersionedInfo } from "./store.ts";

interface ViewRow {
  readonly count_id: string;
  readonly display_name: string;
  readonly labels: Record<string, string>;
  readonly min_value: string | null;
  readonly max_value: string | null;
  readonly state: "ACTIVE" | "DELETING" | "DELETED";
  readonly epoch: string;
  readonly version: string;
  readonly etag: string;
  readonly create_time: Date;
  readonly update_time: Date;
}

/** The view that count-management publishes as its contract. */
export function createPostgresInfoView({ sql }: ReadOnlyDatabase): InfoView {
  return {
    read: async (countIds) => {
      const rows = await sql<ViewRow[]>`
        SELECT count_id, display_name, labels, min_value, max_value, state, epoch, version, etag, create_time,
          update_time
        FROM count_info_v1 WHERE count_id = ANY(${countIds as string[]})`;
      const found = new Map(rows.map((row) => [row.count_id, toInfo(row)]));
      return countIds.map((countId) => found.get(countId));
    },
  };
}

function toInfo(row: ViewRow): VersionedInfo {
  const info = create(CountInfoSchema, {
    countId: row.count_id,
    displayName: row.display_name,
    labels: row.labels,
    ...(row.min_value === null ? {} : { minValue: BigInt(row.min_value) }),
    ...(row.max_value === null ? {} : { maxValue: BigInt(row.max_value) }),
    state: CountState[row.state],
    etag: row.etag,
    createTime: timestampFromDate(row.create_time),
    updateTime: timestampFromDate(row.update_time),
  });
  return { info, epoch: Number(row.epoch), version: Number(row.version) };
}
