import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  CountCreatedSchema,
  CountDeletedSchema,
  CountUpdatedSchema,
} from "../../gen/muin/count/v1/count_info_events_pb.ts";
import type { Publish } from "../../platform/service/delivery.ts";
import type { Transaction } from "../../platform/postgres/database.ts";
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
  const event = {
    countId: record.countId,
    countInfo: toCountInfo(record),
    aggregateVersion: BigInt(record.version),
    time: timestampFromMs(record.updateTimeMs),
  };
  switch (operation) {
    case "CREATE":
    case "UNDELETE":
      return publish(tx, CountCreatedSchema, event);
    case "UPDATE":
      return publish(tx, CountUpdatedSchema, event);
    case "DELETE":
      return publish(tx, CountDeletedSchema, event);
  }
}
