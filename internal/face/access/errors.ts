import { defineErrors } from "../../platform/errors/define-errors.ts";

/** What access answers with. */
export const accessErrors = defineErrors({
  branchNotOfDevice: {
    reason: "BRANCH_NOT_OF_DEVICE",
    code: "permission_denied",
    text: "this device acts for other branches; an administrator can register it for this one",
  },
  branchHeaderDiffers: {
    reason: "BRANCH_HEADER_DIFFERS",
    code: "invalid_argument",
    text: "the header muin-branch names another branch than the request; send the same, or leave it out",
  },
  captureTime: {
    reason: "CAPTURE_TIME",
    code: "failed_precondition",
    text: "captured_at is more than 30 s from the server's clock, which shows {server_time_ms}; set the device's clock",
  },
  nonceReused: {
    reason: "NONCE_REUSED",
    code: "invalid_argument",
    text: "this device has used this nonce for another request; each attempt needs a new one",
  },
  embeddingReplayed: {
    reason: "EMBEDDING_REPLAYED",
    code: "permission_denied",
    text: "this device has sent this embedding before; take a new picture",
  },
  deviceLockedOut: {
    reason: "DEVICE_LOCKED_OUT",
    code: "resource_exhausted",
    text: "this device was denied too often; try again later",
  },
  /** As many attempts are under way as could all be denied before the device is locked out: nothing was decided. */
  deviceBusy: {
    reason: "DEVICE_BUSY",
    code: "resource_exhausted",
    text: "too many attempts of this device are under way at once; try again shortly",
    retryAfterMs: 100,
  },
  deviceAttemptsExceeded: {
    reason: "DEVICE_ATTEMPTS_EXCEEDED",
    code: "resource_exhausted",
    text: "this device asks too often; try again later",
    retryAfterMs: 1000,
  },
  embeddingsFull: {
    reason: "EMBEDDINGS_FULL",
    code: "resource_exhausted",
    text: "as many embeddings of this device are remembered as may be; try again later",
    retryAfterMs: 60_000,
  },
  /** Another call with the same request decides, and did not come to an end. */
  attemptUnderWay: {
    reason: "ATTEMPT_UNDER_WAY",
    code: "unavailable",
    text: "the same request is being decided; repeat it",
    retryAfterMs: 100,
  },
  entryPassUnavailable: {
    reason: "ENTRY_PASS_UNAVAILABLE",
    code: "unavailable",
    text: "it cannot be told at the moment whether the pass is good; try again, or show a face",
    retryAfterMs: 1000,
  },
  embeddingInvalid: {
    reason: "EMBEDDING_INVALID",
    code: "invalid_argument",
    text: "the embedding cannot be compared: {fault}",
  },
  modelNotActive: {
    reason: "MODEL_NOT_ACTIVE",
    code: "failed_precondition",
    text: 'the branch\'s doors do not decide by the model "{model_id}"',
  },
  faceStoreUnavailable: {
    reason: "FACE_STORE_UNAVAILABLE",
    code: "unavailable",
    text: "faces cannot be looked up at the moment; try again",
    retryAfterMs: 250,
  },
  recordsUnavailable: {
    reason: "RECORDS_UNAVAILABLE",
    code: "unavailable",
    text: "the records of the pass's holder and the branch cannot be looked up at the moment; try again",
    retryAfterMs: 250,
  },
  entryQueueFull: {
    reason: "ENTRY_QUEUE_FULL",
    code: "resource_exhausted",
    text: "there is no room on disk to record another entry; an administrator must see why entries are not stored",
    retryAfterMs: 1000,
  },
  entryQueueFailed: {
    reason: "ENTRY_QUEUE_FAILED",
    code: "unavailable",
    text: "the entry could not be recorded; repeat the request",
    retryAfterMs: 250,
  },
  entryNotFound: {
    reason: "ENTRY_NOT_FOUND",
    code: "not_found",
    text: "there is no entry {entry_id}; it may have been removed, as all are after a while",
  },
  entryForbidden: {
    reason: "ENTRY_FORBIDDEN",
    code: "permission_denied",
    text: "only holders of entries.read, the owner and the staff of the branch, and the person themself may see these entries",
  },
  watchesExceeded: {
    reason: "WATCHES_EXCEEDED",
    code: "resource_exhausted",
    text: "as many streams of entries are open as may be; close another, or try again later",
    retryAfterMs: 1000,
  },
  resumeTokenTooOld: {
    reason: "RESUME_TOKEN_TOO_OLD",
    code: "out_of_range",
    text: "entries after this resume token have been removed; begin without one",
  },
  resumeTokenInvalid: {
    reason: "RESUME_TOKEN_INVALID",
    code: "invalid_argument",
    text: "resume_token belongs to another query; repeat that query, or leave it empty",
  },
});
