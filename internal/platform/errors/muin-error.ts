/** The codes of Connect and gRPC, by their protobuf names in lower case. */
export type ErrorCode =
  | "canceled"
  | "unknown"
  | "invalid_argument"
  | "deadline_exceeded"
  | "not_found"
  | "already_exists"
  | "permission_denied"
  | "resource_exhausted"
  | "failed_precondition"
  | "aborted"
  | "out_of_range"
  | "unimplemented"
  | "internal"
  | "unavailable"
  | "data_loss"
  | "unauthenticated";

/** A field that broke a rule, as in google.rpc.BadRequest. */
export interface FieldViolation {
  /** Path of the field in the request's protobuf names, such as "writes[3].count_id". */
  readonly field: string;
  /** What was wrong and what would be right. */
  readonly description: string;
}

/** Code and reason for programs, text for people, and what lies behind it. */
export interface MuinErrorOptions {
  /** Code that the caller sees. */
  readonly code: ErrorCode;
  /** UPPER_SNAKE name of the reason; becomes google.rpc.ErrorInfo with domain "muin". */
  readonly reason: string;
  /** What was wrong and what would be right, for a person. Reaches the caller: no secrets, no driver's words. */
  readonly message: string;
  /** Further facts for a program; keys in lower_snake. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** Field violations; become google.rpc.BadRequest. */
  readonly violations?: readonly FieldViolation[];
  /** When to try again, in milliseconds; becomes google.rpc.RetryInfo. */
  readonly retryAfterMs?: number;
  /** What lies behind it: logged, never sent. */
  readonly cause?: unknown;
}

/**
 * The one error that crosses from a handler to a caller. Whatever else is thrown becomes `internal` and its text stays
 * in the log.
 */
export class MuinError extends Error {
  readonly code: ErrorCode;
  readonly reason: string;
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterMs: number | undefined;

  constructor(options: MuinErrorOptions) {
    super(options.message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "MuinError";
    this.code = options.code;
    this.reason = options.reason;
    this.metadata = options.metadata ?? {};
    this.violations = options.violations ?? [];
    this.retryAfterMs = options.retryAfterMs;
  }
}
