import { defineErrors } from "../errors/define-errors.ts";
import type { FieldViolation, MuinError } from "../errors/muin-error.ts";
import type { Refusal } from "../errors/refusal.ts";

/** What the methods of any resource may answer with. */
export const resourceErrors = defineErrors({
  fieldInvalid: {
    reason: "FIELD_INVALID",
    code: "invalid_argument",
    text: "a field of the request breaks a rule",
  },
  pageTokenInvalid: {
    reason: "PAGE_TOKEN_INVALID",
    code: "invalid_argument",
    text: "page_token belongs to another query; repeat the query of the first page, or leave it empty",
  },
  requestIdReused: {
    reason: "REQUEST_ID_REUSED",
    code: "invalid_argument",
    text: "this request_id was used for another request; use a new one",
  },
  etagMismatch: {
    reason: "ETAG_MISMATCH",
    code: "aborted",
    text: "{resource} has changed since this etag; read it again",
  },
  scopeMissing: {
    reason: "SCOPE_MISSING",
    code: "permission_denied",
    text: "the caller lacks the scope {scope}",
  },
  personOrScopeOnly: {
    reason: "USER_FORBIDDEN",
    code: "permission_denied",
    text: "only the person themself, and who holds the scope {scope}, may do this",
  },
  personHoldsMore: {
    reason: "PERSON_HOLDS_MORE",
    code: "permission_denied",
    text: "the person holds scopes that the caller lacks, and whoever acts on them needs each: {scopes}",
  },
  personOnly: {
    reason: "USER_FORBIDDEN",
    code: "permission_denied",
    text: "only the person themself may do this",
  },
});

/** Violations that a caller is shown of a request that breaks more rules. */
export const violationsShownMax = 10;

/** Says that so many violations are not shown. */
export function andMore(count: number): string {
  return `and ${count} more`;
}

/**
 * INVALID_ARGUMENT, reason FIELD_INVALID: the message lists the first violations, and how many more there are; one of the whole request
 * has an empty field.
 */
export function fieldsInvalid(violations: readonly FieldViolation[]): MuinError {
  const texts = violations
    .slice(0, violationsShownMax)
    .map(({ field, description }) => (field === "" ? description : `${field}: ${description}`));
  if (violations.length > texts.length) texts.push(andMore(violations.length - texts.length));
  return resourceErrors.fieldInvalid({ message: texts.join("; "), violations });
}

/** The same for one field, named by its path in the request, such as "branch.owner_id". */
export function fieldInvalid(field: string, description: string): MuinError {
  return fieldsInvalid([{ field, description }]);
}

/** The same as a refusal. */
export function refuseField(field: string, description: string): Refusal<"fieldInvalid"> {
  return { refused: "fieldInvalid", error: fieldInvalid(field, description) };
}
