/** Facts of a log line. Values are printed as JSON; `err` is printed as an error with its causes. */
export type LogFields = Readonly<Record<string, unknown>>;

/** Structured log, one JSON object a line, with the ids of the active trace. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger that adds `fields` to each line. */
  child(fields: LogFields): Logger;
}
