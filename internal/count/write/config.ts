import { int } from "../../platform/config/fields.ts";
import { shardsMax } from "../shared/key-schema.ts";
import { outboxBytesMaxField } from "../shared/outbox-bound.ts";
import { batchWritesMax } from "./write/batch.ts";

/** The settings of count-write. */
export const countWriteConfig = {
  shards: int("SHARDS", {
    doc: "Shards of the counts store, a power of two, recorded in it when it is first used; another value later refuses to start. 0: as many as the store has, 1 in a new one. More than 1 is for Redis Cluster and for many cores; on one Redis it makes each batch smaller and each write dearer.",
    default: 0,
    min: 0,
    max: shardsMax,
  }),
  batchWritesMax: int("BATCH_WRITES_MAX", {
    doc: "Most writes in one batch.",
    default: batchWritesMax,
    min: 1,
    max: batchWritesMax,
  }),
  batchesInFlightMax: int("BATCHES_IN_FLIGHT_MAX", {
    doc: "Most batches in flight per shard; this cap is what gathers writes into batches.",
    default: 2,
    min: 1,
    max: 2,
  }),
  queueWritesMax: int("QUEUE_WRITES_MAX", {
    doc: "Most writes that wait per shard; more are refused with RESOURCE_EXHAUSTED.",
    default: 65_536,
    min: batchWritesMax,
    max: 1_048_576,
  }),
  queueBytesMax: int("QUEUE_BYTES_MAX", {
    doc: "Most bytes of writes that wait per shard; more are refused with RESOURCE_EXHAUSTED.",
    default: 32 * 1024 * 1024,
    min: 1024 * 1024,
    max: 1024 * 1024 * 1024,
  }),
  requestWindowMs: int("REQUEST_WINDOW_MS", {
    doc: "How long a request_id is remembered at least, in milliseconds. A forward step of the store's clock may shorten it.",
    default: 600_000,
    min: 1000,
    max: 86_400_000,
  }),
  requestIdsMax: int("REQUEST_IDS_MAX", {
    doc: "Most request ids remembered per shard; more are refused with RESOURCE_EXHAUSTED.",
    default: 10_000_000,
    min: 1000,
    max: 1_000_000_000,
  }),
  requestIdsPerCallerPercent: int("REQUEST_IDS_PER_CALLER_PERCENT", {
    doc: "Most of the request ids remembered per shard that are one caller's (an API key's or a person's), in percent; more are refused with RESOURCE_EXHAUSTED.",
    default: 25,
    min: 1,
    max: 100,
  }),
  importsPerCallerMax: int("IMPORTS_PER_CALLER_MAX", {
    doc: "Batches of imports of one caller that an instance works on at once; it works on 8 in all.",
    default: 4,
    min: 1,
    max: 8,
  }),
  outboxBytesMax: outboxBytesMaxField,
  writerMemoryMs: int("WRITER_MEMORY_MS", {
    doc: "How long the store remembers the last batches of an instance after its last write at least, in milliseconds.",
    default: 3_600_000,
    min: 3_600_000,
    max: 86_400_000,
  }),
};
