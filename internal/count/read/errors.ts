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

/** The Count was deleted. */
export function countDeleted(countId: string): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "COUNT_DELETED",
    message: `Count ${countId} was deleted`,
    metadata: { count_id: countId },
  });
}

/** Neither the primary nor a replica that is fresh enough can be reached. */
export function valuesUnavailable(cause: unknown): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "COUNTS_UNAVAILABLE",
    message: "the counts store cannot be reached, and no replica or cache is as fresh as max_staleness asks for",
    retryAfterMs: 500,
    cause,
  });
}

/** The Count's metadata is in no cache, and CountInfoDB cannot be reached. */
export function infoUnavailable(): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "COUNT_INFO_UNAVAILABLE",
    message: "the Count's metadata cannot be read at the moment; try again",
    retryAfterMs: 500,
  });
}

/** More reads are waiting than may wait: refused at once. */
export function tooManyReads(): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "TOO_MANY_READS",
    message: "too many reads are waiting; try again later",
    retryAfterMs: 250,
  });
}
