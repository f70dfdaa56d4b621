import { defineErrors } from "../../platform/errors/define-errors.ts";
import { refuserOf } from "../../platform/errors/refusal.ts";
import { resourceErrors } from "../../platform/resource/errors.ts";

/** What branch-owner answers with, beside what every resource does. */
export const branchOwnerErrors = defineErrors({
  branchForbidden: {
    reason: "BRANCH_FORBIDDEN",
    code: "permission_denied",
    text: "only the branch's owner, the staff whose work it is, and holders of branches.read or branches.manage may do this",
  },
  ownerForbidden: {
    reason: "OWNER_FORBIDDEN",
    code: "permission_denied",
    text: "only the owner, and holders of branches.read or branches.manage, may do this",
  },
  accountSuspended: {
    reason: "ACCOUNT_SUSPENDED",
    code: "permission_denied",
    text: "this account is suspended",
  },
  userNotFound: {
    reason: "USER_NOT_FOUND",
    code: "not_found",
    text: "nobody with the id {user_id} has signed up; who has just done so is known within a second",
  },
  ownerNotFound: {
    reason: "OWNER_NOT_FOUND",
    code: "not_found",
    text: "the person {user_id} is no owner",
  },
  ownerExists: {
    reason: "OWNER_EXISTS",
    code: "already_exists",
    text: "the person {user_id} is an owner already",
  },
  notAnOwner: {
    reason: "NOT_AN_OWNER",
    code: "permission_denied",
    text: "you are no owner of branches; an administrator can register you as one",
  },
  ownerMissing: {
    reason: "OWNER_MISSING",
    code: "failed_precondition",
    text: "the person {user_id}, who is to own the branch, is no owner, or has been deleted; an administrator can register them as one, or give the branch to another",
  },
  tooManyBranches: {
    reason: "TOO_MANY_BRANCHES",
    code: "failed_precondition",
    text: "the owner has {branches_max} branches, as many as one may have",
  },
  branchNotFound: {
    reason: "BRANCH_NOT_FOUND",
    code: "not_found",
    text: "there is no branch {branch_id}",
  },
  staffNotFound: {
    reason: "STAFF_NOT_FOUND",
    code: "not_found",
    text: "the person {user_id} does not work for this branch",
  },
  tooManyStaff: {
    reason: "TOO_MANY_STAFF",
    code: "failed_precondition",
    text: "{staff_max} people work for this branch, as many as may",
  },
});

/** Refuses by a row of branch-owner's, or of every resource's. */
export const refuse = refuserOf({ ...resourceErrors, ...branchOwnerErrors });
