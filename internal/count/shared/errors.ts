import { MuinError } from "../../platform/errors/muin-error.ts";

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
