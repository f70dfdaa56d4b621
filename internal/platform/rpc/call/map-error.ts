import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { MuinError, type ErrorCode } from "../../errors/muin-error.ts";

/** `domain` of every google.rpc.ErrorInfo that Muin makes. */
export const errorDomain = "muin";

const codes: Readonly<Record<ErrorCode, Code>> = {
  canceled: Code.Canceled,
  unknown: Code.Unknown,
  invalid_argument: Code.InvalidArgument,
  deadline_exceeded: Code.DeadlineExceeded,
  not_found: Code.NotFound,
  already_exists: Code.AlreadyExists,
  permission_denied: Code.PermissionDenied,
  resource_exhausted: Code.ResourceExhausted,
  failed_precondition: Code.FailedPrecondition,
  aborted: Code.Aborted,
  out_of_range: Code.OutOfRange,
  unimplemented: Code.Unimplemented,
  internal: Code.Internal,
  unavailable: Code.Unavailable,
  data_loss: Code.DataLoss,
  unauthenticated: Code.Unauthenticated,
};

/** An error ready for the wire, and whether it must be logged because the caller is not told what happened. */
export interface MappedError {
  readonly error: ConnectError;
  /** What to log; `undefined` when the caller learns everything. */
  readonly hidden: unknown;
}

/** Maps errors to what a caller may see. */
export interface ErrorMapper {
  /**
   * Maps whatever a step or a handler threw. A MuinError keeps its code, reason, violations and retry delay; a ConnectError, from
   * a downstream call for instance, keeps its code and details and gets a reason when it has none; anything else becomes
   * `internal` and says nothing.
   */
  map(thrown: unknown): MappedError;
  /** Maps an error that the protocol library made itself, before any step or handler failed. */
  mapProtocol(error: ConnectError): MappedError;
}

/**
 * Creates the mapper. `domain` is the domain of each error's ErrorInfo; `undefined` sends no ErrorInfo, for peers that count
 * the details.
 */
export function createErrorMapper(domain: string | undefined): ErrorMapper {
  const inform = (
    error: ConnectError,
    reason: string,
    metadata: Readonly<Record<string, string>> = {},
  ): ConnectError => {
    if (domain !== undefined) {
      error.details.unshift({ desc: ErrorInfoSchema, value: create(ErrorInfoSchema, { reason, domain, metadata }) });
    }
    return error;
  };
  const internal = (hidden: unknown): MappedError => ({
    error: inform(new ConnectError("internal error", Code.Internal), "INTERNAL"),
    hidden,
  });
  return {
    map: (thrown) => {
      if (thrown instanceof MuinError) {
        const error = new ConnectError(thrown.message, codes[thrown.code]);
        if (thrown.violations.length > 0) {
          error.details.push({
            desc: BadRequestSchema,
            value: create(BadRequestSchema, { fieldViolations: [...thrown.violations] }),
          });
        }
        if (thrown.retryAfterMs !== undefined) {
          error.details.push({
            desc: RetryInfoSchema,
            value: create(RetryInfoSchema, { retryDelay: durationOf(thrown.retryAfterMs) }),
          });
        }
        return { error: inform(error, thrown.reason, thrown.metadata), hidden: thrown.cause };
      }
      if (thrown instanceof ConnectError) {
        if (hasReason(thrown) || domain === undefined) return { error: thrown, hidden: undefined };
        const error = new ConnectError(thrown.rawMessage, thrown.code, thrown.metadata);
        error.details.push(...thrown.details);
        error.isWireError = thrown.isWireError;
        return { error: inform(error, codeToString(thrown.code).toUpperCase()), hidden: thrown.cause };
      }
      return internal(thrown);
    },
    mapProtocol: (error) => {
      const message = error.rawMessage;
      // The library calls a body that is no protobuf "internal"; JSON that is none it calls "invalid_argument", as do we both.
      if (error.code === Code.Internal && message.startsWith("parse binary")) {
        return {
          error: inform(new ConnectError(message, Code.InvalidArgument), "MALFORMED_REQUEST"),
          hidden: undefined,
        };
      }
      // A reply that cannot be written is the handler's fault. All else that the library finds is in what the caller sent.
      if (error.code === Code.Internal && /^(serialize|internal error|failed to serialize)/.test(message)) {
        return internal(error);
      }
      const revised = new ConnectError(message, error.code);
      revised.details.push(...error.details);
      return {
        error: inform(revised, protocolReasons[error.code] ?? codeToString(error.code).toUpperCase()),
        hidden: undefined,
      };
    },
  };
}

/** Reasons of the errors that the protocol library makes, where the code alone would say too little. */
const protocolReasons: Partial<Record<Code, string>> = {
  [Code.InvalidArgument]: "MALFORMED_REQUEST",
  [Code.ResourceExhausted]: "MESSAGE_TOO_LARGE",
};

function hasReason(error: ConnectError): boolean {
  return error.details.some((detail) =>
    "desc" in detail ? detail.desc.typeName === ErrorInfoSchema.typeName : detail.type === ErrorInfoSchema.typeName,
  );
}

function durationOf(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.floor(ms / 1000);
  return { seconds: BigInt(whole), nanos: Math.round((ms - whole * 1000) * 1_000_000) };
}
