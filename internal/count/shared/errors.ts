import { MuinError } from "../../platform/errors/muin-error.ts";

/** When to try again while the outbox is full, in milliseconds. */
const outboxRetryMs = 1000;

/** There is no such Count, or it is still being created. */
export function countNotFound(countId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "COUNT_NOT_FOUND",
    message: `there is no Count ${countId}`,
    metadata: { count_id: countId },
  });
}

/** The Count was deleted: only undeleting it is possible. */
export function countDeleted(countId: string): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "COUNT_DELETED",
    message: `Count ${countId} was deleted; undelete it first`,
    metadata: { count_id: countId },
  });
}

/** The outbox has reached its bound: nothing was applied. */
export function outboxFull(): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "OUTBOX_FULL",
    message: "the outbox of the counts store is full, since its events are not being delivered; try again later",
    retryAfterMs: outboxRetryMs,
  });
}
