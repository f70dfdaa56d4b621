import type { MuinError } from "../../../platform/errors/muin-error.ts";
import { resourceErrors } from "../../../platform/resource/errors.ts";

/** A request_id came before, with something else. */
export function requestIdReused(): MuinError {
  return resourceErrors.requestIdReused({
    violations: [{ field: "request_id", description: "was used for another request" }],
  });
}
