import { Code, ConnectError } from "@connectrpc/connect";
import { defineErrors, type ErrorRow } from "../../errors/define-errors.ts";
import type { ErrorCode } from "../../errors/muin-error.ts";

/** When a call to a service that is starting is to be tried again, in milliseconds. */
const startingRetryAfterMs = 500;
/** When a call that was refused for load is to be tried again, in milliseconds, unless limits say otherwise. */
const overloadRetryAfterMs = 100;

/** When a call that was refused for what else its network has under way is to be tried again, in milliseconds. */
const peerRetryAfterMs = 1000;

/** What the life of a call refuses, whatever the lane and the service. */
export const callErrors = defineErrors({
  policyMissing: {
    reason: "POLICY_MISSING",
    code: "permission_denied",
    text: "this method has no policy, so nobody may call it",
  },
  credentialsMissing: {
    reason: "CREDENTIALS_MISSING",
    code: "unauthenticated",
    text: "send credentials in the header Authorization: Bearer <API key or access token>",
  },
  callerKind: {
    reason: "CALLER_KIND",
    code: "permission_denied",
    text: "this kind of caller may not call this method",
  },
  callNotDeclared: {
    reason: "CALL_NOT_DECLARED",
    code: "permission_denied",
    text: "the declaration of the service that calls does not name this method",
  },
  serviceStarting: {
    reason: "SERVICE_STARTING",
    code: "unavailable",
    text: "the service is starting: try again in a moment",
    retryAfterMs: startingRetryAfterMs,
  },
  overloaded: {
    reason: "OVERLOADED",
    code: "resource_exhausted",
    text: "as much is under way as is taken at once; try again shortly",
    retryAfterMs: overloadRetryAfterMs,
  },
  peerOverloaded: {
    reason: "PEER_OVERLOADED",
    code: "resource_exhausted",
    text: "as much is under way from your network without credentials as is taken at once; try again shortly",
    retryAfterMs: peerRetryAfterMs,
  },
  requestLate: {
    reason: "REQUEST_LATE",
    code: "deadline_exceeded",
    text: "the request did not arrive in time",
  },
  targetUnavailable: {
    reason: "TARGET_UNAVAILABLE",
    code: "unavailable",
    text: "a service behind this one fails at the moment and is left alone",
  },
  requestMalformed: { reason: "REQUEST_MALFORMED", code: "invalid_argument", text: "the request cannot be read" },
  contentTypeUnsupported: {
    reason: "CONTENT_TYPE_UNSUPPORTED",
    code: "invalid_argument",
    text: "send the body as JSON with content-type: application/json",
  },
  queryParameterInvalid: {
    reason: "QUERY_PARAMETER_INVALID",
    code: "invalid_argument",
    text: "a query parameter is unknown or has a value that it cannot take",
  },
  timeoutInvalid: {
    reason: "TIMEOUT_INVALID",
    code: "invalid_argument",
    text: "the deadline is no number of milliseconds, or longer than is taken",
  },
  idempotencyKeyUnsupported: {
    reason: "IDEMPOTENCY_KEY_UNSUPPORTED",
    code: "invalid_argument",
    text: "this method has no request_id, so the header Idempotency-Key has no meaning here",
  },
  idempotencyKeyDiffers: {
    reason: "IDEMPOTENCY_KEY_DIFFERS",
    code: "invalid_argument",
    text: "the header Idempotency-Key and the field request_id must be the same, or one of them absent",
  },
  messageTooLarge: {
    reason: "MESSAGE_TOO_LARGE",
    code: "resource_exhausted",
    text: "a message is larger than is taken",
  },
  late: { reason: "DEADLINE_EXCEEDED", code: "deadline_exceeded", text: "the operation timed out" },
  canceled: { reason: "CANCELED", code: "canceled", text: "the call was canceled" },
  stopping: { reason: "UNAVAILABLE", code: "unavailable", text: "the server is stopping" },
  unsupported: { reason: "UNIMPLEMENTED", code: "unimplemented", text: "the method or its form is not served here" },
  internal: { reason: "INTERNAL", code: "internal", text: "internal error" },
});

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

/** An error as the protocol library knows it, without details: its reason follows from its code. */
export function connectError({ code, text }: Pick<ErrorRow, "code" | "text">): ConnectError {
  return new ConnectError(text, codes[code]);
}
