import { defineErrors } from "../../platform/errors/define-errors.ts";
import { countErrors } from "../shared/errors.ts";

/** What count-read answers with. */
export const countReadErrors = defineErrors({
  ...countErrors.table,
  /** Neither the primary nor a replica that is fresh enough can be reached. */
  valuesUnavailable: {
    reason: "COUNTS_UNAVAILABLE",
    code: "unavailable",
    text: "the counts store cannot be reached, and no replica or cache is as fresh as max_staleness asks for",
    retryAfterMs: 500,
  },
  /** The Count's metadata is in no cache, and CountInfoDB cannot be reached. */
  infoUnavailable: {
    reason: "COUNT_INFO_UNAVAILABLE",
    code: "unavailable",
    text: "the Count's metadata cannot be read at the moment; try again",
    retryAfterMs: 500,
  },
  overloaded: {
    reason: "OVERLOADED",
    code: "resource_exhausted",
    text: "too many reads are waiting; try again later",
    retryAfterMs: 250,
  },
});
