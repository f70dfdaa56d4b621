import { int } from "../../platform/config/fields.ts";

const dayMs = 86_400_000;

/** Settings of branch-owner, `MUIN_BRANCH_OWNER_<NAME>`. */
export const branchOwnerConfig = {
  requestIdWindowMs: int("REQUEST_ID_WINDOW_MS", {
    doc: "How long a caller's request_id of a creation is remembered: a repeated request gets the first reply.",
    default: dayMs,
    min: 60_000,
    max: 30 * dayMs,
  }),
  branchesPerOwnerMax: int("BRANCHES_PER_OWNER_MAX", {
    doc: "Branches that one owner may have, closed ones included.",
    default: 1000,
    min: 1,
    max: 100_000,
  }),
};
