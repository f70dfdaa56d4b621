import { create } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { MuinError } from "../../errors/muin-error.ts";
import { boundError } from "./bound-error.ts";
import { callErrors, connectError } from "./errors.ts";
import { isLibraryError, reword } from "./library-texts.ts";

/** `domain` of every google.rpc.ErrorInfo that Muin makes. */
export const errorDomain = "muin";

/** An error of the protocol library, kept apart from what handlers throw. */
export class ProtocolFailure {
  readonly error: ConnectError;

  constructor(error: ConnectError) {
    this.error = error;
  }
}

/** An error ready for the wire, and whether it must be logged because the caller is not told what happened. */
export interface MappedError {
  readonly error: ConnectError;
  /** What to log; `undefined` when the caller learns everything. */
  readonly hidden: unknown;
}

/** Maps errors to what a caller may see. */
export interface ErrorMapper {
  /**
   * Maps whatever was thrown. A MuinError keeps its code, reason, violations and retry delay; a ConnectError, from a downstream call
   * for instance, keeps its code and details and gets a reason when it has none; a ProtocolFailure tells what was wrong with the
   * request; anything else becomes `internal` and says nothing. All are bounded by `boundError`.
   */
  map(thrown: unknown): MappedError;
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
  const { internal } = callErrors.table;
  const hide = (hidden: unknown): MappedError => ({ error: inform(connectError(internal), internal.reason), hidden });
  const map: ErrorMapper["map"] = (thrown) => {
    if (thrown instanceof MuinError) {
      return { error: inform(detailed(thrown), thrown.reason, thrown.metadata), hidden: thrown.cause };
    }
    if (thrown instanceof ConnectError) {
      if (hasReason(thrown) || domain === undefined) return { error: thrown, hidden: undefined };
      const error = new ConnectError(thrown.rawMessage, thrown.code, thrown.metadata);
      error.details.push(...thrown.details);
      error.isWireError = thrown.isWireError;
      return { error: inform(error, reasonOf(thrown.code)), hidden: thrown.cause };
    }
    if (!(thrown instanceof ProtocolFailure)) return hide(thrown);
    const { error } = thrown;
    const code = isLibraryError(error, "binaryMalformed") ? Code.InvalidArgument : error.code;
    // A reply that cannot be written, for one, is the handler's fault.
    if (code === Code.Internal && !isLibraryError(error, "compressionUnnamed")) return hide(error);
    const revised = new ConnectError(reword(error.rawMessage), code);
    revised.details.push(...error.details);
    return { error: inform(revised, protocolReasons[code] ?? reasonOf(code)), hidden: undefined };
  };
  return {
    map: (thrown) => {
      const { error, hidden } = map(thrown);
      return { error: boundError(error), hidden };
    },
  };
}

/** Reasons of the errors that the protocol library makes, where the code alone would say too little. */
const protocolReasons: Partial<Record<Code, string>> = {
  [Code.InvalidArgument]: callErrors.table.requestMalformed.reason,
  [Code.ResourceExhausted]: callErrors.table.messageTooLarge.reason,
};

function reasonOf(code: Code): string {
  return codeToString(code).toUpperCase();
}

function detailed(thrown: MuinError): ConnectError {
  const error = connectError({ code: thrown.code, text: thrown.message });
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
  return error;
}

function hasReason(error: ConnectError): boolean {
  return error.details.some((detail) =>
    "desc" in detail ? detail.desc.typeName === ErrorInfoSchema.typeName : detail.type === ErrorInfoSchema.typeName,
  );
}

function durationOf(ms: number): { seconds: bigint; nanos: number } {
  const whole = Math.floor(ms / 1000);
  return { seconds: BigInt(whole), nanos: Math.round((ms - whole * 1000) * 1_000_000) };
}
