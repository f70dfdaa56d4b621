import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type CountCreated,
  CountCreatedSchema,
  CountDeletedSchema,
  CountUpdatedSchema,
} from "../../gen/muin/count/v1/count_info_events_pb.ts";
import type { Publish } from "../../platform/service/delivery.ts";
import type { Transaction } from "../../platform/postgres/database.ts";
import type { Within } from "./info/creations.ts";
import { toCountInfo, type CountRecord, type Operation } from "./info/record.ts";

/** The events of count-management. */
type InfoEvents = readonly [typeof CountCreatedSchema, typeof CountUpdatedSchema, typeof CountDeletedSchema];

/** Records that an operation made the Count what `record` says, in the transaction that holds its row. */
export async function announceCount(
  publish: Publish<InfoEvents>,
  tx: Transaction,
  operation: Operation,
  record: CountRecord,
): Promise<void> {
  switch (operation) {
    case "CREATE":
    case "UNDELETE":
      return publish(tx, CountCreatedSchema, eventOf(record));
    case "UPDATE":
      return publish(tx, CountUpdatedSchema, eventOf(record));
    case "DELETE":
      return publish(tx, CountDeletedSchema, eventOf(record));
  }
}

/** Records that Counts were created, in the transaction that holds their rows, each as part of its own call. */
export function announceCreated(
  publish: Publish<InfoEvents>,
  tx: Transaction,
  created: readonly { readonly record: CountRecord; readonly within: Within }[],
): Promise<void> {
  const events = created.map(({ record, within }) => within(() => publish.make(CountCreatedSchema, eventOf(record))));
  return publish.record(tx, events);
}

/** The three events have the same fields. */
function eventOf(
  record: CountRecord,
): Readonly<Pick<CountCreated, "countId" | "countInfo" | "aggregateVersion" | "time">> {
  return {
    countId: record.countId,
    countInfo: toCountInfo(record),
    aggregateVersion: BigInt(record.version),
    time: timestampFromMs(record.updateTimeMs),
  };
}
