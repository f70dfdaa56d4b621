/** The texts of errors to which the driver gives neither a type nor a code. */
export const driverTexts = {
  /** The command was not sent: the connection is not there. */
  notConnected: "Stream isn't writeable and enableOfflineQueue options is false",
  /** The connection ended before the reply, or for good. */
  closed: "Connection is closed.",
} as const;

const connectionTexts: ReadonlySet<string> = new Set(Object.values(driverTexts));
/** What the driver calls its own errors of a connection that was cut or stayed silent. */
const connectionErrors: ReadonlySet<string> = new Set(["MaxRetriesPerRequestError", "AbortError"]);

/** Whether an error says that the connection is not there, was cut or stayed silent. */
export function isConnectionError(error: Error): boolean {
  return (
    "errno" in error || "syscall" in error || connectionErrors.has(error.name) || connectionTexts.has(error.message)
  );
}

/**
 * The code of an error that the server replied with, such as "OOM": the first word of its text, in upper case
 * (https://redis.io/docs/latest/develop/reference/protocol-spec/#simple-errors). `undefined` for an error from elsewhere.
 */
export function replyCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || error.name !== "ReplyError") return undefined;
  return /^[A-Z]+\b/.exec(error.message)?.[0];
}
