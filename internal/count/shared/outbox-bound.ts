import { type ConfigField, int } from "../../platform/config/fields.ts";

/** The bound of the outbox: whoever adds to it, count-write and count-management, holds to the same one. */
export const outboxBytesMaxField: ConfigField<number> = {
  ...int("COUNTS_OUTBOX_BYTES_MAX", {
    doc: "Most bytes of events that wait per shard of the counts store to be published; more writes and creations are refused with RESOURCE_EXHAUSTED. The same in every process of an installation.",
    default: 256 * 1024 * 1024,
    min: 1024 * 1024,
    max: 1024 * 1024 * 1024 * 1024,
  }),
  isShared: true,
};
