import { defineErrors } from "../../platform/errors/define-errors.ts";

/** What opening hours cannot be told for. */
export const hoursErrors = defineErrors({
  timeZoneUnknown: {
    reason: "TIME_ZONE_UNKNOWN",
    code: "failed_precondition",
    text: 'the branch\'s time zone "{time_zone}" is not in the IANA database ({zone_rules}); give the branch one that is, such as "Asia/Seoul"',
  },
});
