import { int } from "../../platform/config/fields.ts";
import { templateConfig } from "../shared/template-config.ts";

const dayMs = 86_400_000;

/** Settings of mlops, `MUIN_MLOPS_<NAME>`. */
export const mlopsConfig = {
  ...templateConfig,
  requestIdWindowMs: int("REQUEST_ID_WINDOW_MS", {
    doc: "How long a caller's request_id of an enrolment is remembered: a repeated request gets the first reply.",
    default: dayMs,
    min: 60_000,
    max: 30 * dayMs,
  }),
  sweepEveryMs: int("SWEEP_EVERY_MS", {
    doc: "Pause between two looks for enrolments that were left half done, which are then finished or undone.",
    default: 2000,
    min: 100,
    max: 600_000,
  }),
};
