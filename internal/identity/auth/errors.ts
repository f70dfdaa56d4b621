import { defineErrors } from "../../platform/errors/define-errors.ts";
import { refuserOf, type Refuse } from "../../platform/errors/refusal.ts";

/** What auth's callers are answered when it is not what they asked for. */
export const authErrors = defineErrors({
  // Signing in. One text for a wrong password and an unknown address, so that it tells nothing.
  credentialsInvalid: {
    reason: "CREDENTIALS_INVALID",
    code: "unauthenticated",
    text: "the e-mail address or the password is wrong",
  },
  passwordInvalid: { reason: "PASSWORD_INVALID", code: "permission_denied", text: "the current password is wrong" },
  accountSuspended: {
    reason: "ACCOUNT_SUSPENDED",
    code: "permission_denied",
    text: "this account is suspended: ask who runs this installation",
  },
  signInLocked: {
    reason: "SIGN_IN_LOCKED",
    code: "resource_exhausted",
    text: "too many failed attempts: wait before the next one",
  },
  /** About the time in which a full queue of passwords is worked off. */
  signInOverloaded: {
    reason: "OVERLOADED",
    code: "resource_exhausted",
    text: "too many sign-ins are waiting: try again",
    retryAfterMs: 2000,
  },
  callCanceled: { reason: "CANCELED", code: "canceled", text: "the caller has gone" },
  /** Where nobody gets an account uninvited. */
  invitationRequired: {
    reason: "INVITATION_REQUIRED",
    code: "permission_denied",
    text: "accounts are for who was invited: ask who runs this installation",
  },
  signUpClosed: { reason: "SIGN_UP_CLOSED", code: "permission_denied", text: "nobody gets a new account here" },
  tooManyInvitations: {
    reason: "TOO_MANY_INVITATIONS",
    code: "failed_precondition",
    text: "{max} invitations are open, as many as there may be: each ends 7 days after it was made",
  },
  emailNotVerified: {
    reason: "EMAIL_NOT_VERIFIED",
    code: "failed_precondition",
    text: "verify the e-mail address of the account first: SignIn and SendEmailVerification send a token for VerifyEmail",
  },
  emailTaken: {
    reason: "EMAIL_TAKEN",
    code: "already_exists",
    text: "this e-mail address has an account: sign in instead",
  },

  // The second factor.
  challengeInvalid: {
    reason: "CHALLENGE_INVALID",
    code: "unauthenticated",
    text: "the challenge is not valid: sign in again",
  },
  codeInvalid: { reason: "CODE_INVALID", code: "unauthenticated", text: "the code is wrong, or was used before" },
  factorCodeInvalid: {
    reason: "SECOND_FACTOR_CODE_INVALID",
    code: "permission_denied",
    text: "the code is wrong, or was used before",
  },
  secondFactorSet: {
    reason: "SECOND_FACTOR_SET",
    code: "failed_precondition",
    text: "a second factor is set: disable it first",
  },
  noSecondFactor: {
    reason: "NO_SECOND_FACTOR",
    code: "failed_precondition",
    text: "the account has no second factor; one begins with BeginTotp",
  },

  // Mails and their tokens.
  mailTokenInvalid: {
    reason: "MAIL_TOKEN_INVALID",
    code: "unauthenticated",
    text: "the token is not valid: ask for a new mail",
  },
  bootstrapSecretInvalid: {
    reason: "BOOTSTRAP_SECRET_INVALID",
    code: "unauthenticated",
    text: "this bootstrap secret is not valid: issue one with muin services secret",
  },
  tooManyFailedSecrets: {
    reason: "TOO_MANY_FAILED_SECRETS",
    code: "resource_exhausted",
    text: "too many bootstrap secrets that are nobody's came from this network",
    retryAfterMs: 1000,
  },
  serviceUnknown: {
    reason: "SERVICE_NOT_FOUND",
    code: "not_found",
    text: "{service} never had a bootstrap secret",
  },
  serviceWithdrawn: {
    reason: "SERVICE_WITHDRAWN",
    code: "failed_precondition",
    text: "{service} is withdrawn; it gets tokens again once a bootstrap secret is issued for it",
  },
  /** Whether it is this network's part or all of it that is used up, it does not tell. */
  quotaExhausted: {
    reason: "QUOTA_EXHAUSTED",
    code: "resource_exhausted",
    text: "as many were asked for within an hour as may be: wait before the next one",
  },
  mailsWaiting: {
    reason: "MAILS_WAITING",
    code: "resource_exhausted",
    text: "too many mails are waiting to be sent: try again later",
    retryAfterMs: 60_000,
  },

  // Sessions and tokens. One answer for a refresh token that is unknown, was used, or whose session has ended.
  refreshTokenInvalid: {
    reason: "REFRESH_TOKEN_INVALID",
    code: "unauthenticated",
    text: "the refresh token is not valid: sign in again",
  },
  /** The same whether somebody else has the session or nobody. */
  sessionNotYours: { reason: "NOT_YOURS", code: "permission_denied", text: "you have no such session" },
  issuerNotAnAddress: {
    reason: "ISSUER_NOT_AN_ADDRESS",
    code: "not_found",
    text: "MUIN_ISSUER must be the https address of this installation for its discovery document to be of use",
  },

  // API keys and scopes.
  apiKeyNotFound: { reason: "API_KEY_NOT_FOUND", code: "not_found", text: "there is no such API key" },
  /** The secret is nobody's, or its key was revoked or has expired. */
  apiKeyInvalid: { reason: "API_KEY_INVALID", code: "unauthenticated", text: "the API key is not valid" },
  tooManyFailedKeys: {
    reason: "TOO_MANY_FAILED_KEYS",
    code: "resource_exhausted",
    text: "too many API keys that are nobody's were asked for: try again shortly",
    retryAfterMs: 1000,
  },
  tooManyApiKeys: {
    reason: "TOO_MANY_API_KEYS",
    code: "failed_precondition",
    text: "there are {max} live API keys, as many as there may be: revoke some",
  },
  scopeMissing: {
    reason: "SCOPE_MISSING",
    code: "permission_denied",
    text: "only who holds the scope {scope} can give it",
  },

  // People.
  userNotFound: { reason: "USER_NOT_FOUND", code: "not_found", text: "there is no such person" },
  notYours: {
    reason: "NOT_YOURS",
    code: "permission_denied",
    text: "only who holds the scope {scope} may see what belongs to another person",
  },
  accountExists: {
    reason: "ACCOUNT_EXISTS",
    code: "failed_precondition",
    text: "the person's account still exists: delete the person first",
  },

  // Devices. One answer for another's device or branch and for none, so that it tells nothing.
  deviceForbidden: {
    reason: "DEVICE_FORBIDDEN",
    code: "permission_denied",
    text: "only who owns all branches of a device, or holds the scope {scope}, may do this",
  },
  deviceNotFound: { reason: "DEVICE_NOT_FOUND", code: "not_found", text: "there is no such device" },
  branchNotFound: { reason: "BRANCH_NOT_FOUND", code: "not_found", text: "there is no branch {branch_id}" },
  tooManyDevices: {
    reason: "TOO_MANY_DEVICES",
    code: "failed_precondition",
    text: "there are {max} devices, as many as there may be: revoke some",
  },
  /** The code was never given, has ended, or was used with another key: one answer for all. */
  activationCodeInvalid: {
    reason: "ACTIVATION_CODE_INVALID",
    code: "unauthenticated",
    text: "the activation code is wrong, has ended or was used: register the device again",
  },
  deviceKeyTaken: {
    reason: "DEVICE_KEY_TAKEN",
    code: "failed_precondition",
    text: "this key is that of another device: make a new one",
  },
  /** The device is unknown, not active or revoked, or its key did not sign: one answer for all. */
  deviceInvalid: {
    reason: "DEVICE_INVALID",
    code: "unauthenticated",
    text: "there is no active device of this id that signed the call with its key",
  },

  // Entry passes. One answer for another's pass and for none, so that it tells nothing.
  passForbidden: {
    reason: "PASS_FORBIDDEN",
    code: "permission_denied",
    text: "only the person themself, or who holds the scope {scope}, may do this",
  },
  entryPassNotFound: { reason: "ENTRY_PASS_NOT_FOUND", code: "not_found", text: "there is no such entry pass" },
  userNotActive: {
    reason: "USER_NOT_ACTIVE",
    code: "failed_precondition",
    text: "the person is suspended and gets no entry pass",
  },
  tooManyPasses: {
    reason: "TOO_MANY_PASSES",
    code: "resource_exhausted",
    text: "the person has {max} entry passes that have not ended, as many as there may be",
  },
});

/** Refuses by a row of the table. */
export const refuse: Refuse<typeof authErrors> = refuserOf(authErrors);
