import { int } from "../../platform/config/fields.ts";
import { outboxBytesMaxField } from "../shared/outbox-bound.ts";

const dayMs = 86_400_000;

/** Settings of count-management. */
export const countManagementConfig = {
  outboxBytesMax: outboxBytesMaxField,
  requestIdWindowMs: int("REQUEST_ID_WINDOW_MS", {
    doc: "How long a caller's request_id of a mutation is remembered: a repeated request gets the first reply.",
    default: dayMs,
    min: 60_000,
    max: 30 * dayMs,
  }),
  sweepAgeMs: int("SWEEP_AGE_MS", {
    doc: "A change that nobody has worked on for so long is finished by the sweeper.",
    default: 5000,
    min: 100,
    max: 600_000,
  }),
};
