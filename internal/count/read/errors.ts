import { MuinError } from "../../platform/errors/muin-error.ts";

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
