import { defineErrors } from "../../platform/errors/define-errors.ts";
import { countErrors } from "../shared/errors.ts";

/** What count-management answers with. */
export const countManagementErrors = defineErrors({
  ...countErrors.table,
  /** The id is taken, be it by a deleted Count. */
  countExists: {
    reason: "COUNT_EXISTS",
    code: "already_exists",
    text: "there is a Count {count_id} already; a deleted one can be undeleted",
  },
  /** Undeleting a Count that is not deleted (AIP-164). */
  countNotDeleted: {
    reason: "COUNT_NOT_DELETED",
    code: "already_exists",
    text: "Count {count_id} is not deleted",
  },
  initialValueOutOfRange: {
    reason: "VALUE_OUT_OF_RANGE",
    code: "out_of_range",
    text: "initial_value {value} of Count {count_id} lies outside the bounds {min_value} to {max_value}",
  },
  boundsExcludeValue: {
    reason: "VALUE_OUT_OF_RANGE",
    code: "out_of_range",
    text: "the bounds do not admit the value {value} of Count {count_id}",
  },
  /** Nothing was changed. */
  countsUnavailable: {
    reason: "COUNTS_UNAVAILABLE",
    code: "unavailable",
    text: "the counts store cannot be reached; nothing was changed",
    retryAfterMs: 1000,
  },
  /** The change was accepted and will be finished, but not before the call had to answer. */
  outcomeUnknown: {
    reason: "OUTCOME_UNKNOWN",
    code: "unavailable",
    text: "the change of Count {count_id} was accepted and is still being made; repeat the request with its request_id, or read the Count",
    retryAfterMs: 1000,
  },
  /** Other callers keep changing the same Count. */
  countContended: {
    reason: "COUNT_CONTENDED",
    code: "aborted",
    text: "Count {count_id} is being changed by others; try again",
    retryAfterMs: 100,
  },
});
