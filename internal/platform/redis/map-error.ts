import { MuinError } from "../errors/muin-error.ts";
import { storeErrors } from "../errors/store-errors.ts";
import { isConnectionError, replyCode } from "./driver-errors.ts";

/** Replies of a server that cannot work at the moment, whatever was asked. */
const serverCodes: ReadonlySet<string> = new Set([
  "LOADING",
  "READONLY",
  "MISCONF",
  "MASTERDOWN",
  "CLUSTERDOWN",
  "TRYAGAIN",
  "BUSY",
  "NOREPLICAS",
  "WRONGPASS",
  "NOAUTH",
]);

/**
 * Turns a failure of the server or of the way to it into `STORE_UNAVAILABLE`, and a full memory into `STORE_FULL`; anything else comes
 * back as it was. A write whose connection failed may have been applied: only its writer can know what is safe to repeat.
 */
export function mapRedisError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof MuinError) return error;
  const code = replyCode(error);
  if (code === undefined) return isConnectionError(error) ? storeErrors.unavailable({ cause: error }) : error;
  if (code === "OOM") return storeErrors.full({ cause: error });
  return serverCodes.has(code) ? storeErrors.unavailable({ cause: error }) : error;
}
