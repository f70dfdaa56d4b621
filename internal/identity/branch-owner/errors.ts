import { MuinError, type FieldViolation } from "../../platform/errors/muin-error.ts";

/** The request broke rules that stand in the protos' comments rather than in their validation. */
export function invalidArgument(violations: readonly FieldViolation[]): MuinError {
  return new MuinError({
    code: "invalid_argument",
    reason: "INVALID_FIELD",
    message: violations.map(({ field, description }) => `${field}: ${description}`).join("; "),
    violations,
  });
}

/** The caller may not do this with this branch, if there is one. */
export function branchForbidden(): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "BRANCH_FORBIDDEN",
    message:
      "only the branch's owner, the staff whose work it is, and holders of branches.read or branches.manage may do this",
  });
}

/** The caller may not do this with this owner, if there is one. */
export function ownerForbidden(): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "OWNER_FORBIDDEN",
    message: "only the owner, and holders of branches.read or branches.manage, may do this",
  });
}

/** The caller is suspended, or deleted. */
export function accountSuspended(): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "ACCOUNT_SUSPENDED",
    message: "this account is suspended",
  });
}

/** Nobody of this id has signed up, as far as is known here. */
export function personNotFound(userId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "PERSON_NOT_FOUND",
    message: `nobody with the id ${userId} has signed up; who has just done so is known within a second`,
    metadata: { user_id: userId },
  });
}

/** The person is no owner. */
export function ownerNotFound(userId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "OWNER_NOT_FOUND",
    message: `the person ${userId} is no owner`,
    metadata: { user_id: userId },
  });
}

/** The person is an owner already. */
export function ownerExists(userId: string): MuinError {
  return new MuinError({
    code: "already_exists",
    reason: "OWNER_EXISTS",
    message: `the person ${userId} is an owner already`,
    metadata: { user_id: userId },
  });
}

/** Who shall own a branch is no owner: for who may give it to any owner a wrong choice, for the person themself a refusal. */
export function notAnOwner(userId: string, choice: "theirs" | "free"): MuinError {
  return new MuinError({
    code: choice === "free" ? "failed_precondition" : "permission_denied",
    reason: "NOT_AN_OWNER",
    message: `the person ${userId} is no owner of branches; an administrator can register them as one`,
    metadata: { user_id: userId },
  });
}

/** The owner has as many branches as they may have. */
export function tooManyBranches(max: number): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "TOO_MANY_BRANCHES",
    message: `the owner has ${max} branches, as many as one may have`,
  });
}

/** There is no such branch: told only to those who may see all. */
export function branchNotFound(branchId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "BRANCH_NOT_FOUND",
    message: `there is no branch ${branchId}`,
    metadata: { branch_id: branchId },
  });
}

/** The branch's owner was deleted, and nobody answers for it. */
export function ownerGone(branchId: string): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "OWNER_GONE",
    message: `the owner of branch ${branchId} has been deleted; an administrator can give it to another`,
    metadata: { branch_id: branchId },
  });
}

/** What was read has changed since (AIP-154). */
export function etagMismatch(what: string): MuinError {
  return new MuinError({
    code: "aborted",
    reason: "ETAG_MISMATCH",
    message: `${what} has changed since this etag; read it again`,
  });
}

/** The person does not work for the branch. */
export function staffNotFound(userId: string): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "STAFF_NOT_FOUND",
    message: `the person ${userId} does not work for this branch`,
    metadata: { user_id: userId },
  });
}

/** As many people work for the branch as may. */
export function tooManyStaff(max: number): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "TOO_MANY_STAFF",
    message: `${max} people work for this branch, as many as may`,
  });
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
