import { storeErrors } from "../errors/store-errors.ts";
import { TimeoutError } from "../lifecycle/timeout.ts";

/** SQLSTATE classes that say something about the server and nothing about the statement: connection, resources, system. */
const serverClasses = new Set(["08", "53", "58"]);
/**
 * Single SQLSTATEs of the same sort: statement timeout, shutdown (three), lock timeout, idle transaction ended, read-only after
 * a failover, refused credentials (two), missing database.
 */
const serverStates = new Set([
  "57014",
  "57P01",
  "57P02",
  "57P03",
  "55P03",
  "25P03",
  "25006",
  "28000",
  "28P01",
  "3D000",
]);
const networkCode = /^(E[A-Z]+|CONNECT_TIMEOUT|CONNECTION_(CLOSED|DESTROYED|ENDED|CONNECT_TIMEOUT))$/;

/**
 * Turns a failure of the server or of the way to it, and an answer that did not come in time, into `STORE_UNAVAILABLE`. Anything else, such as a broken constraint,
 * comes back as it was: its SQLSTATE is for the store's own code to judge, and means `internal` when that does not.
 */
export function mapPostgresError(error: unknown): unknown {
  if (error instanceof TimeoutError) return storeErrors.unavailable({ cause: error });
  const code = sqlState(error);
  if (code === undefined) return error;
  const isServers = serverClasses.has(code.slice(0, 2)) && code.length === 5;
  return isServers || serverStates.has(code) || networkCode.test(code)
    ? storeErrors.unavailable({ cause: error })
    : error;
}

/** The SQLSTATE, or the driver's code of a network failure. */
export function sqlState(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
