import { defineErrors } from "../../platform/errors/define-errors.ts";
import { refuserOf } from "../../platform/errors/refusal.ts";
import { resourceErrors } from "../../platform/resource/errors.ts";

/** What mlops answers with, beside what every resource does. */
export const mlopsErrors = defineErrors({
  enrolmentForbidden: {
    reason: "ENROLMENT_FORBIDDEN",
    code: "permission_denied",
    text: "only who owns or manages all of the enrolment's branches, holders of the faces scopes, and for reading and erasing the person themself, may do this",
  },
  accountSuspended: {
    reason: "ACCOUNT_SUSPENDED",
    code: "permission_denied",
    text: "this account is suspended",
  },
  consentRequired: {
    reason: "CONSENT_REQUIRED",
    code: "invalid_argument",
    text: "no face is enrolled without the person's consent: give the version of the text that they agreed to, and when",
  },
  embeddingInvalid: {
    reason: "EMBEDDING_INVALID",
    code: "invalid_argument",
    text: "an embedding is no face of this model",
  },
  faceKnown: {
    reason: "FACE_KNOWN",
    code: "already_exists",
    text: "this face is enrolled as another person's already at one of these branches; who holds faces.manage can override this",
  },
  enrolmentExists: {
    reason: "ENROLMENT_EXISTS",
    code: "already_exists",
    text: "this person is enrolled by this model already: AddEmbedding and ReplaceFace change that",
  },
  enrolmentErased: {
    reason: "ENROLMENT_ERASED",
    code: "failed_precondition",
    text: "the request with this request_id was done, and the face that it was about has been erased since: a repeat does not enrol it anew; a new request takes a request_id of its own",
  },
  tooManyEmbeddings: {
    reason: "TOO_MANY_EMBEDDINGS",
    code: "failed_precondition",
    text: "the enrolment has {embeddings_max} embeddings, as many as one may have; ReplaceFace gives it others",
  },
  enrolmentNotFound: {
    reason: "ENROLMENT_NOT_FOUND",
    code: "not_found",
    text: "there is no enrolment {enrolment_id}",
  },
  erasureNotFound: {
    reason: "FACE_ERASURE_NOT_FOUND",
    code: "not_found",
    text: "there is no such erasure of a face",
  },
  branchNotFound: {
    reason: "BRANCH_NOT_FOUND",
    code: "not_found",
    text: "there is no branch {branch_id}",
  },
  userNotFound: {
    reason: "USER_NOT_FOUND",
    code: "not_found",
    text: "nobody with the id {user_id} has signed up; who has just done so is known within a second",
  },
  modelNotFound: {
    reason: "FACE_MODEL_NOT_FOUND",
    code: "not_found",
    text: "there is no face model {model_id}",
  },
  modelExists: {
    reason: "FACE_MODEL_EXISTS",
    code: "already_exists",
    text: "there is a face model {model_id} already, with other content",
  },
  galleryEmpty: {
    reason: "GALLERY_EMPTY",
    code: "failed_precondition",
    text: "nobody is enrolled at branch {branch_id} by the model {model_id}: its doors would open to nobody",
  },
  noFormerModel: {
    reason: "NO_FORMER_MODEL",
    code: "failed_precondition",
    text: "the doors of branch {branch_id} decided by no other model before",
  },
  galleryNotFound: {
    reason: "GALLERY_NOT_FOUND",
    code: "not_found",
    text: "nobody was ever enrolled at branch {branch_id} by the model {model_id}",
  },
  galleryRenewed: {
    reason: "GALLERY_RENEWED",
    code: "aborted",
    text: "the gallery has the generation {generation} now; list the branch's galleries and try again",
  },
  activeModelChanged: {
    reason: "ACTIVE_MODEL_CHANGED",
    code: "aborted",
    text: "the doors of branch {branch_id} do not decide by the model {model_id} now; list the branch's galleries and try again",
  },
  templateSecretMissing: {
    reason: "TEMPLATE_SECRET_MISSING",
    code: "failed_precondition",
    text: "the faces of branch {branch_id} are protected by a secret that this service was not given: set MUIN_FACE_TEMPLATE_SECRET_FORMER",
  },
  outcomeUnknown: {
    reason: "OUTCOME_UNKNOWN",
    code: "unavailable",
    text: "what became of this could not be learned in time: it will be finished or undone; repeat it with the same request_id to learn it",
    retryAfterMs: 1000,
  },
});

/** Refuses by a row of mlops', or of every resource's. */
export const refuse = refuserOf({ ...resourceErrors, ...mlopsErrors });
