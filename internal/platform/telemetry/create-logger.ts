import { pino } from "pino";
import { activeTrace } from "./active-trace.ts";
import type { LogFields, Logger } from "./logger.ts";

/** Levels of a log, the quietest first. */
export const logLevels = ["silent", "error", "warn", "info", "debug"] as const;

/** How much is said. */
export type LogLevel = (typeof logLevels)[number];

/** Level, origin and destination of a log. */
export interface LoggerOptions {
  readonly level: LogLevel;
  /** Name of the service: the field "service" of each line. */
  readonly service: string;
  /** Where lines go, each with its newline. Written at once, so that a crash loses none. */
  readonly destination: "stdout" | "stderr" | { write(line: string): void };
}

/**
 * Makes the log of a service: one JSON object a line with `level`, `time` (ISO 8601), `service`, `trace_id` and `span_id` of the
 * active span, `message` and the fields. Fields named like secrets, API keys, tokens and passwords in URLs are redacted.
 */
export function createLogger(options: LoggerOptions): Logger {
  const { destination } = options;
  return wrap(
    pino(
      {
        level: options.level,
        base: null,
        messageKey: "message",
        errorKey: "err",
        timestamp: pino.stdTimeFunctions.isoTime,
        formatters: { level: (level) => ({ level }) },
        serializers: { err: (error) => describeError(error, 0) },
        redact: { paths: secretFields.flatMap((name) => [name, `*.${name}`]), censor: "[redacted]" },
        mixin: () => {
          const trace = activeTrace();
          return trace === undefined ? {} : { trace_id: trace.traceId, span_id: trace.spanId };
        },
        hooks: { streamWrite: hideSecrets },
      },
      typeof destination === "string"
        ? pino.destination({ fd: destination === "stdout" ? 1 : 2, sync: true })
        : destination,
    ),
    { service: options.service },
  );
}

/** Causes of causes are told to this depth. */
const causeDepthMax = 8;

const secretFields = [
  "password",
  "secret",
  "token",
  "authorization",
  "cookie",
  "pepper",
  "apiKey",
  "accessToken",
  "refreshToken",
] as const;

/** Only what is known to be harmless: drivers hang commands and their arguments on errors. */
function describeError(error: unknown, depth: number): unknown {
  if (!(error instanceof Error)) return error;
  const { code, reason } = error as { code?: unknown; reason?: unknown };
  const deeper = depth < causeDepthMax;
  return {
    type: error.name,
    message: error.message,
    ...(typeof code === "string" || typeof code === "number" ? { code } : {}),
    ...(typeof reason === "string" ? { reason } : {}),
    stack: error.stack,
    ...(deeper && error.cause !== undefined ? { cause: describeError(error.cause, depth + 1) } : {}),
    ...(deeper && error instanceof AggregateError
      ? { errors: error.errors.slice(0, causeDepthMax).map((each) => describeError(each, depth + 1)) }
      : {}),
  };
}

/** The last net under messages and stacks that quote a secret: URLs with a password, API keys, JWTs. */
function hideSecrets(line: string): string {
  return line
    .replace(/(:\/\/[^:@/\s"]{0,128}:)[^@/\s"]{1,4096}@/g, "$1[redacted]@")
    .replace(/\b(muin_|eyJ)[\w-]{32,}(\.[\w-]+){0,4}/g, "[redacted]");
}

/** Fields are merged here: pino's own children would print a name twice that a child, or a line, gives anew. */
function wrap(log: pino.Logger, bound: LogFields): Logger {
  const at =
    (level: "debug" | "info" | "warn" | "error") =>
    (message: string, fields?: LogFields): void =>
      log[level](fields === undefined ? bound : { ...bound, ...fields }, message);
  return {
    debug: at("debug"),
    info: at("info"),
    warn: at("warn"),
    error: at("error"),
    child: (fields) => wrap(log, { ...bound, ...fields }),
  };
}
