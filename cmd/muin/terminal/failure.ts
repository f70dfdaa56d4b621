import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { ConfigError } from "../../../internal/platform/config/read-config.ts";
import { BadRequestSchema, ErrorInfoSchema } from "../../../internal/gen/google/rpc/error_details_pb.ts";
import type { ExitName } from "./exit-codes.ts";
import { ImportOptionsError } from "../import/extract.ts";
import { TooManyValuesError } from "../import/planner.ts";
import { SourceError } from "../import/source-error.ts";

/** Reasons of UNAUTHENTICATED that another key can mend; others are about codes, signatures and tokens. `undefined`: none was given. */
const keyReasons: ReadonlySet<string | undefined> = new Set([
  undefined,
  "API_KEY_INVALID",
  "CREDENTIALS_INVALID",
  "CREDENTIALS_MISSING",
]);

/** A failure that is told to the user in one sentence. */
export class Failure extends Error {
  override readonly name = "Failure";
  /** How the command exits. */
  readonly exit: ExitName;

  constructor(exit: ExitName, message: string, options?: ErrorOptions) {
    super(message, options);
    this.exit = exit;
  }
}

/** The machine name of the reason that Muin gave; `undefined` without one. */
export function reasonOf(error: ConnectError): string | undefined {
  return error.findDetails(ErrorInfoSchema)[0]?.reason;
}

/** What to tell the user of anything that was thrown. */
export function toFailure(error: unknown): Failure {
  if (error instanceof Failure) return error;
  if (error instanceof ConnectError) return new Failure(exitOf(error), sentenceOf(error), { cause: error });
  if (error instanceof DOMException && error.name === "AbortError") return new Failure("interrupted", "interrupted");
  if (error instanceof ImportOptionsError) return new Failure("usage", error.message);
  if (error instanceof ConfigError) return new Failure("usage", error.problems.join("; "));
  if (error instanceof SourceError || error instanceof TooManyValuesError) return new Failure("failed", error.message);
  return new Failure("failed", error instanceof Error ? error.message : String(error), { cause: error });
}

/** What Muin answered with all that it said, a line each: the message, code, reason, what belongs to it, and each violation. */
export function detailedFailure(error: ConnectError): Failure {
  const [info] = error.findDetails(ErrorInfoSchema);
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  const facts: readonly (readonly [name: string, value: string])[] = [
    ["code", codeToString(error.code)],
    ...(info === undefined ? [] : ([["reason", info.reason], ...Object.entries(info.metadata)] as const)),
    ...violations.map(({ field, description }) => ["violation", `${field}: ${description}`] as const),
  ];
  const width = Math.max(...facts.map(([name]) => name.length)) + 2;
  const lines = facts.map(([name, value]) => `  ${name.padEnd(width)}${value}`);
  return new Failure(exitOf(error), [error.rawMessage, ...lines].join("\n"), { cause: error });
}

function exitOf(error: ConnectError): ExitName {
  switch (error.code) {
    case Code.InvalidArgument:
      return "usage";
    case Code.Unavailable:
      return reasonOf(error) === "OUTCOME_UNKNOWN" ? "unknownOutcome" : "unreachable";
    case Code.NotFound:
      return "notFound";
    case Code.PermissionDenied:
    case Code.Unauthenticated:
      return "refused";
    case Code.AlreadyExists:
    case Code.FailedPrecondition:
    case Code.OutOfRange:
    case Code.Aborted:
      return "conflict";
    case Code.ResourceExhausted:
      return "overloaded";
    case Code.Canceled:
      return "interrupted";
    case Code.Unknown:
    case Code.DeadlineExceeded:
    case Code.Unimplemented:
    case Code.Internal:
    case Code.DataLoss:
      return "failed";
  }
}

function sentenceOf(error: ConnectError): string {
  const violations = error.findDetails(BadRequestSchema).flatMap(({ fieldViolations }) => fieldViolations);
  if (violations.length > 0) {
    return violations.map(({ field, description }) => `${field}: ${description}`).join("; ");
  }
  const said = error.rawMessage === "" ? Code[error.code] : error.rawMessage;
  if (error.code === Code.Unauthenticated && keyReasons.has(reasonOf(error))) {
    return `${said}; give a key with MUIN_API_KEY or MUIN_API_KEY_FILE`;
  }
  if (error.code === Code.Canceled) return "interrupted";
  if (error.code === Code.DeadlineExceeded) return "Muin did not answer in time";
  if (error.code === Code.Unimplemented) return `this Muin does not offer that: ${said}`;
  return said;
}
