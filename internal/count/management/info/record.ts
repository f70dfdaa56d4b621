import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CountInfoSchema, CountState, type CountInfo } from "../../../gen/muin/count/v1/count_pb.ts";
import { etagOf } from "../../../platform/resource/etag.ts";

/** What a caller may say about a Count. */
export interface CountContent {
  readonly displayName: string;
  readonly labels: Readonly<Record<string, string>>;
  /** `undefined` is -(2^53 - 1). */
  readonly minValue: bigint | undefined;
  /** `undefined` is 2^53 - 1. */
  readonly maxValue: bigint | undefined;
}

/** The states in the words of the database. */
export type CountStateName = "PENDING" | "ACTIVE" | "DELETING" | "DELETED";

/** A Count as CountInfoDB knows it. */
export interface CountRecord extends CountContent {
  readonly countId: string;
  readonly state: CountStateName;
  /** Grows with every change of the metadata; 0 while PENDING. */
  readonly version: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
}

/** What may be done with a Count. */
export type Operation = "CREATE" | "UPDATE" | "DELETE" | "UNDELETE";

/** The state of a Count once the operation is done. */
export function stateAfter(operation: Operation): CountStateName {
  return operation === "DELETE" ? "DELETED" : "ACTIVE";
}

/** The Count's metadata as callers and consumers see it. */
export function toCountInfo(record: CountRecord): CountInfo {
  return create(CountInfoSchema, {
    countId: record.countId,
    displayName: record.displayName,
    labels: { ...record.labels },
    ...(record.minValue === undefined ? {} : { minValue: record.minValue }),
    ...(record.maxValue === undefined ? {} : { maxValue: record.maxValue }),
    state: CountState[record.state],
    etag: etagOf(record.version),
    createTime: timestampFromMs(record.createTimeMs),
    updateTime: timestampFromMs(record.updateTimeMs),
  });
}
