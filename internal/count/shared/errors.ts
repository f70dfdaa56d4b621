import { defineErrors } from "../../platform/errors/define-errors.ts";

/** What any service of Counts may answer with. */
export const countErrors = defineErrors({
  /** There is no such Count, or it is still being created. */
  countNotFound: { reason: "COUNT_NOT_FOUND", code: "not_found", text: "there is no Count {count_id}" },
  countDeleted: {
    reason: "COUNT_DELETED",
    code: "failed_precondition",
    text: "Count {count_id} was deleted; undelete it first",
  },
  /** The events of a shard that wait for the bus have reached their bound: nothing was applied. */
  outboxFull: {
    reason: "OUTBOX_FULL",
    code: "resource_exhausted",
    text: "the outbox of the counts store is full, since its events are not being delivered; try again later",
    retryAfterMs: 1000,
  },
});
