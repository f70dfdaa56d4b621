import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { CountValueSchema } from "../../../gen/muin/count/v1/count_pb.ts";
import {
  CreateCountResponseSchema,
  type CreateCountResponse,
} from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { stateAfter, toCountInfo, type CountRecord } from "./record.ts";
import type { CountChange } from "./store.ts";

/** A change as the counts store made it. */
export interface Applied {
  readonly kind: "applied";
  readonly value: bigint;
  readonly revision: bigint;
  readonly updateTimeMs: number;
}

/** What the counts store decided of a change. It decides each info revision of a Count once and repeats its answer. */
export type Decision =
  | Applied
  /** The new bounds do not admit the value. */
  | { readonly kind: "out_of_range"; readonly value: bigint };

/** The Count once the change is made. */
export function recordAfter(change: CountChange): CountRecord {
  return {
    ...change.content,
    countId: change.countId,
    state: stateAfter(change.operation),
    version: change.infoRevision,
    createTimeMs: change.createTimeMs,
    updateTimeMs: change.startTimeMs,
  };
}

/** The reply to a change that was made. */
export function responseOf(record: CountRecord, { value, revision, updateTimeMs }: Applied): CreateCountResponse {
  return create(CreateCountResponseSchema, {
    countInfo: toCountInfo(record),
    value: create(CountValueSchema, {
      countId: record.countId,
      value,
      revision,
      updateTime: timestampFromMs(updateTimeMs),
    }),
  });
}
