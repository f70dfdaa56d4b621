import { MuinError, type FieldViolation } from "../../platform/errors/muin-error.ts";

/** The request broke rules that stand in the protos' comments rather than in their validation. */
export function invalidArgument(violations: readonly FieldViolation[]): MuinError {
  return new MuinError({
    code: "invalid_argument",
    reason: "FIELD_INVALID",
    message: violations.map(({ field, description }) => `${field}: ${description}`).join("; "),
    violations,
  });
}

/** The id is taken, be it by a deleted Count. */
export function countExists(countId: string): MuinError {
  return new MuinError({
    code: "already_exists",
    reason: "COUNT_EXISTS",
    message: `there is a Count ${countId} already; a deleted one can be undeleted`,
    metadata: { count_id: countId },
  });
}

/** Undeleting a Count that is not deleted (AIP-164). */
export function countNotDeleted(countId: string): MuinError {
  return new MuinError({
    code: "already_exists",
    reason: "COUNT_NOT_DELETED",
    message: `Count ${countId} is not deleted`,
    metadata: { count_id: countId },
  });
}

/** The metadata changed since the caller read it (AIP-154). */
export function etagMismatch(countId: string): MuinError {
  return new MuinError({
    code: "aborted",
    reason: "ETAG_MISMATCH",
    message: `Count ${countId} has changed since this etag; read it again`,
    metadata: { count_id: countId },
  });
}

/** The bounds do not admit the value. */
export function outOfRange(countId: string, message: string): MuinError {
  return new MuinError({ code: "out_of_range", reason: "OUT_OF_RANGE", message, metadata: { count_id: countId } });
}

/** The caller used this request_id for something else. */
export function requestIdReused(): MuinError {
  return new MuinError({
    code: "invalid_argument",
    reason: "REQUEST_ID_REUSED",
    message: "this request_id was used for another request; use a new one",
    violations: [{ field: "request_id", description: "was used for another request" }],
  });
}

/** The counts store cannot be reached: nothing was changed. */
export function countsUnavailable(cause: unknown): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "COUNTS_UNAVAILABLE",
    message: "the counts store cannot be reached; nothing was changed",
    retryAfterMs: 1000,
    cause,
  });
}

/** The change was accepted and will be finished, but not before this call had to answer. */
export function outcomeUnknown(countId: string, cause?: unknown): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "OUTCOME_UNKNOWN",
    message: `the change of Count ${countId} was accepted and is still being made; repeat the request with its request_id, or read the Count`,
    metadata: { count_id: countId },
    retryAfterMs: 1000,
    cause,
  });
}

/** Other callers keep changing the same Count. */
export function countContended(countId: string): MuinError {
  return new MuinError({
    code: "aborted",
    reason: "COUNT_CONTENDED",
    message: `Count ${countId} is being changed by others; try again`,
    metadata: { count_id: countId },
    retryAfterMs: 100,
  });
}
