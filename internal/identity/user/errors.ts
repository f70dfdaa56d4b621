import { MuinError } from "../../platform/errors/muin-error.ts";

/** A field broke a rule that stands in the proto's comments rather than in its validation. */
export function invalidField(field: string, description: string): MuinError {
  return new MuinError({
    code: "invalid_argument",
    reason: "INVALID_FIELD",
    message: `${field}: ${description}`,
    violations: [{ field, description }],
  });
}

/** The caller may not do this with this person, if there is one. */
export function userForbidden(scope: string | undefined): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "USER_FORBIDDEN",
    message:
      scope === undefined
        ? "only the person themself may do this"
        : `only the person themself, and who holds the scope ${scope}, may do this`,
    metadata: scope === undefined ? {} : { scope },
  });
}

/** The caller would give or take a role that holds scopes which the caller could not give. */
export function roleForbidden(role: string, scope: string): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "SCOPE_MISSING",
    message: `to give or take the role ${role}, the scope ${scope} is needed too`,
    metadata: { scope },
  });
}

/** There is no such person: told only to those who may see all. */
export function userNotFound(userId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "USER_NOT_FOUND",
    message: `there is no person ${userId}; who has just signed up is known within a second`,
    metadata: { user_id: userId },
  });
}

/** The person who calls has signed up so lately that nothing is known of them yet. */
export function profileNotReady(): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "PROFILE_NOT_READY",
    message: "your profile is being made; try again in a moment",
    retryAfterMs: 250,
  });
}

/** Nothing of a deleted person can be changed. */
export function userDeleted(userId: string): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "USER_DELETED",
    message: `the person ${userId} is deleted`,
    metadata: { user_id: userId },
  });
}

/** What was read has changed since (AIP-154). */
export function etagMismatch(what: string): MuinError {
  return new MuinError({
    code: "aborted",
    reason: "ETAG_MISMATCH",
    message: `${what} changed since this etag; read again`,
  });
}

/** Nobody would be left who is active and administrator. */
export function lastAdministrator(): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "LAST_ADMINISTRATOR",
    message: "this is the last active administrator; make somebody else one first",
  });
}

/** Nobody bars or admits themself. */
export function ownStatus(): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "OWN_STATUS",
    message: "nobody can suspend or reactivate themself",
  });
}

/** A membership that is not there can neither rest nor go on. */
export function noMembership(userId: string): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "NO_MEMBERSHIP",
    message: `the person ${userId} has no membership`,
    metadata: { user_id: userId },
  });
}

/** The person has as many roles as one may have. */
export function tooManyRoles(max: number): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "TOO_MANY_ROLES",
    message: `the person has ${max} roles, as many as one may have`,
  });
}

/** There would be more preferences than one may keep. */
export function tooManyPreferences(max: number): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "TOO_MANY_PREFERENCES",
    message: `a person keeps at most ${max} preferences; remove some by setting them to ""`,
  });
}

/** No erasure has this id. */
export function erasureNotFound(): MuinError {
  return new MuinError({ code: "not_found", reason: "ERASURE_NOT_FOUND", message: "there is no such erasure" });
}

/** Auth, which keeps people's keys, cannot be asked: nothing was changed. */
export function keysUnavailable(cause: unknown): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "KEYS_UNAVAILABLE",
    message: "the key of the person's data cannot be read at the moment; nothing was changed",
    retryAfterMs: 1000,
    cause,
  });
}

/** A service that holds data of the person cannot be asked: no copy is better than half of one. */
export function copyUnavailable(cause: unknown): MuinError {
  return new MuinError({
    code: "unavailable",
    reason: "COPY_UNAVAILABLE",
    message: "not every part of your data can be read at the moment; try again",
    retryAfterMs: 1000,
    cause,
  });
}
