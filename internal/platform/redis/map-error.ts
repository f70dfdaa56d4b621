import { MuinError } from "../errors/muin-error.ts";
import { storeErrors } from "../errors/store-errors.ts";

/** What ioredis says when the connection is not there, was cut, or stayed silent. */
const connectionErrors =
  /^(Stream isn't writeable|Connection is closed|Command timed out|Socket timeout|Socket closed)/;
/** Replies of a server that cannot work at the moment, whatever was asked. */
const serverErrors = /^(LOADING|READONLY|MISCONF|MASTERDOWN|CLUSTERDOWN|TRYAGAIN|BUSY|NOREPLICAS|WRONGPASS|NOAUTH) /;

/**
 * Turns a failure of the server or of the way to it into `STORE_UNAVAILABLE`, and a full memory into
 * `STORE_FULL`. A write whose connection failed may have been applied: only its writer can know what is safe to repeat.
 */
export function mapRedisError(error: unknown): unknown {
  if (!(error instanceof Error) || error instanceof MuinError) return error;
  if (error.message.startsWith("OOM ")) {
    return storeErrors.full({ cause: error });
  }
  const ofConnection =
    "errno" in error ||
    "syscall" in error ||
    error.name === "MaxRetriesPerRequestError" ||
    error.name === "AbortError" ||
    connectionErrors.test(error.message);
  return ofConnection || serverErrors.test(error.message) ? storeErrors.unavailable({ cause: error }) : error;
}
