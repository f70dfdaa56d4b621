import { defineErrors } from "../../platform/errors/define-errors.ts";
import { refuserOf } from "../../platform/errors/refusal.ts";
import { resourceErrors } from "../../platform/resource/errors.ts";

/** What user answers with, beside what every resource does. */
export const userErrors = defineErrors({
  userNotFound: {
    reason: "USER_NOT_FOUND",
    code: "not_found",
    text: "there is no person {user_id}; who has just signed up is known within a second",
  },
  profileNotReady: {
    reason: "PROFILE_NOT_READY",
    code: "unavailable",
    text: "your profile is being made; try again in a moment",
    retryAfterMs: 250,
  },
  userDeleted: {
    reason: "USER_DELETED",
    code: "failed_precondition",
    text: "the person {user_id} is deleted",
  },
  roleScopesMissing: {
    reason: "ROLE_HOLDS_MORE",
    code: "permission_denied",
    text: "the role gives scopes that the caller lacks, and whoever gives or takes it needs each: {scopes}",
  },
  lastAdministrator: {
    reason: "LAST_ADMINISTRATOR",
    code: "failed_precondition",
    text: "this is the last active administrator; make somebody else one first",
  },
  tooManyRoles: {
    reason: "TOO_MANY_ROLES",
    code: "failed_precondition",
    text: "the person has {roles_max} roles, as many as one may have",
  },
  noMembership: {
    reason: "NO_MEMBERSHIP",
    code: "failed_precondition",
    text: "the person {user_id} has no membership",
  },
  ownStatus: {
    reason: "OWN_STATUS",
    code: "failed_precondition",
    text: "nobody can suspend or reactivate themself",
  },
  tooManyPreferences: {
    reason: "TOO_MANY_PREFERENCES",
    code: "failed_precondition",
    text: 'a person keeps at most {preferences_max} preferences; remove some by setting them to ""',
  },
  erasureNotFound: {
    reason: "ERASURE_NOT_FOUND",
    code: "not_found",
    text: "there is no such erasure",
  },
  personKeyUnavailable: {
    reason: "IDENTITY_UNAVAILABLE",
    code: "unavailable",
    text: "the key of the person's data cannot be read at the moment; nothing was changed",
    retryAfterMs: 1000,
  },
  scopesUnavailable: {
    reason: "IDENTITY_UNAVAILABLE",
    code: "unavailable",
    text: "what the person may do cannot be read at the moment, which decides whether you may act on them; nothing was changed",
    retryAfterMs: 1000,
  },
  copyUnavailable: {
    reason: "COPY_UNAVAILABLE",
    code: "unavailable",
    text: "not every part of your data can be read at the moment; try again",
    retryAfterMs: 1000,
  },
});

/** Refuses by a row of user's, or of every resource's. */
export const refuse = refuserOf({ ...resourceErrors, ...userErrors });
