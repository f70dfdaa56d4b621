import { int } from "../../platform/config/fields.ts";

/** Settings of user, `MUIN_USER_<NAME>`. */
export const userConfig = {
  erasureSweepMs: int("ERASURE_SWEEP_MS", {
    doc: "Pause between two looks for deletions whose last step is due: the destruction of the key.",
    default: 500,
    min: 50,
    max: 600_000,
  }),
} as const;
