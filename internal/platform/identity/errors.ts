import { defineErrors } from "../errors/define-errors.ts";

/** What telling who calls may end with. Credentials that prove nobody get one answer, whatever was wrong with them. */
export const identityErrors = defineErrors({
  credentialsInvalid: {
    reason: "CREDENTIALS_INVALID",
    code: "unauthenticated",
    text: "the credentials in the header Authorization are not valid",
  },
  apiKeysUnavailable: {
    reason: "IDENTITY_UNAVAILABLE",
    code: "unavailable",
    text: "API keys cannot be verified at the moment",
    retryAfterMs: 1000,
  },
  tokensUnavailable: {
    reason: "IDENTITY_UNAVAILABLE",
    code: "unavailable",
    text: "tokens cannot be verified at the moment",
    retryAfterMs: 500,
  },
  overloaded: {
    reason: "OVERLOADED",
    code: "resource_exhausted",
    text: "too many API keys are being verified; try again shortly",
    retryAfterMs: 1000,
  },
  tooManyFailedKeys: {
    reason: "TOO_MANY_FAILED_KEYS",
    code: "resource_exhausted",
    text: "too many API keys that are nobody's came from your network: try again shortly",
    retryAfterMs: 1000,
  },
  personOnly: {
    reason: "CALLER_KIND",
    code: "permission_denied",
    text: "only a signed-in person may do this",
  },
  signatureMissing: {
    reason: "SIGNATURE_MISSING",
    code: "unauthenticated",
    text: "this call must be signed: send the header muin-signature",
  },
  signatureMalformed: {
    reason: "SIGNATURE_INVALID",
    code: "unauthenticated",
    text: 'the header muin-signature is not "v1,t=<time>,n=<nonce>,s=<signature>"',
  },
  signatureInvalid: {
    reason: "SIGNATURE_INVALID",
    code: "unauthenticated",
    text: "the signature is not that of this call by this key",
  },
  signatureTime: {
    reason: "SIGNATURE_TIME",
    code: "unauthenticated",
    text: "the signature's time is more than 30 s from the server's",
  },
  signatureReplayed: {
    reason: "SIGNATURE_REPLAYED",
    code: "unauthenticated",
    text: "this signed call came before, or may have: sign each call anew",
  },
  tooManySignedCalls: {
    reason: "TOO_MANY_SIGNED_CALLS",
    code: "resource_exhausted",
    text: "more signed calls came in a minute than can be remembered",
    retryAfterMs: 30_000,
  },
  notSignable: {
    reason: "NOT_SIGNABLE",
    code: "invalid_argument",
    text: "a signed call cannot have {part}: its signature covers one uncompressed message and nothing else",
  },
});
