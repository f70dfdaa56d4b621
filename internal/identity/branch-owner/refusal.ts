import { assertNever } from "../../platform/errors/assert-never.ts";
import type { MuinError } from "../../platform/errors/muin-error.ts";
import { fieldInvalid, resourceErrors } from "../../platform/resource/errors.ts";
import type { CreationRefusal } from "./branch/rules.ts";
import { branchOwnerErrors } from "./errors.ts";
import type { OwnerRefusal } from "./owner/rules.ts";
import { staffMax, type StaffRefusal } from "./staff/rules.ts";

type Refusal = OwnerRefusal | CreationRefusal | StaffRefusal;

/** What a request named, as far as errors tell it. */
interface Named {
  readonly branchId?: string;
  readonly userId?: string;
  readonly branchesMax?: number;
}

/** What a rule answered; throws what it refused with. */
export function accepted<T extends object>(answer: T | Refusal, named: Named = {}): T {
  if (typeof answer === "string") throw errorOf(answer, named);
  return answer;
}

function errorOf(refusal: Refusal, { branchId = "", userId = "", branchesMax = 0 }: Named): MuinError {
  switch (refusal) {
    case "ACCOUNT_SUSPENDED":
      return branchOwnerErrors.accountSuspended();
    case "BRANCH_FORBIDDEN":
      return branchOwnerErrors.branchForbidden();
    case "BRANCH_NOT_FOUND":
      return branchOwnerErrors.branchNotFound({ branch_id: branchId });
    case "ETAG_MISMATCH":
      return resourceErrors.etagMismatch({ resource: branchId === "" ? `owner ${userId}` : `branch ${branchId}` });
    case "OWNER_FORBIDDEN":
      return branchOwnerErrors.ownerForbidden();
    case "OWNER_NOT_FOUND":
      return branchOwnerErrors.ownerNotFound({ user_id: userId });
    case "OWNER_EXISTS":
      return branchOwnerErrors.ownerExists({ user_id: userId });
    case "NOT_AN_OWNER":
      return branchOwnerErrors.notAnOwner();
    case "OWNER_MISSING":
      return branchOwnerErrors.ownerMissing(userId === "" ? {} : { metadata: { user_id: userId } });
    case "TOO_MANY_BRANCHES":
      return branchOwnerErrors.tooManyBranches({ branches_max: `${branchesMax}` });
    case "REQUEST_ID_REUSED":
      return resourceErrors.requestIdReused({
        violations: [{ field: "request_id", description: "was used for another request" }],
      });
    case "USER_NOT_FOUND":
      return branchOwnerErrors.userNotFound({ user_id: userId });
    case "OWNER_IS_NO_STAFF":
      return fieldInvalid("staff_member.user_id", "owns the branch; name somebody else");
    case "STAFF_NOT_FOUND":
      return branchOwnerErrors.staffNotFound({ user_id: userId });
    case "TOO_MANY_STAFF":
      return branchOwnerErrors.tooManyStaff({ staff_max: `${staffMax}` });
    default:
      return assertNever(refusal);
  }
}
