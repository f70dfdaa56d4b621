import { MuinError } from "../../platform/errors/muin-error.ts";

/** The answer to a wrong password and to an unknown address: one text, so that it tells nothing. */
export function badCredentials(): MuinError {
  return new MuinError({
    code: "unauthenticated",
    reason: "BAD_CREDENTIALS",
    message: "the e-mail address or the password is wrong",
  });
}

/** The code of the second factor is wrong or was used before. */
export function badCode(code: "unauthenticated" | "permission_denied"): MuinError {
  return new MuinError({ code, reason: "BAD_CODE", message: "the code is wrong, or was used before" });
}

/** The challenge never was, has ended or was used. */
export function badChallenge(): MuinError {
  return new MuinError({
    code: "unauthenticated",
    reason: "BAD_CHALLENGE",
    message: "the challenge is not valid: sign in again",
  });
}

/** The token of a mail never was, has ended or was used. */
export function badMailToken(): MuinError {
  return new MuinError({
    code: "unauthenticated",
    reason: "BAD_MAIL_TOKEN",
    message: "the token is not valid: ask for a new mail",
  });
}

/** Too many mails wait to be sent. */
export function tooManyMails(): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "MAILS_WAITING",
    message: "too many mails are waiting to be sent: try again later",
    retryAfterMs: 60_000,
  });
}

/** The issuer's name is no address, so no verifier could find its keys by it. */
export function noDiscovery(): MuinError {
  return new MuinError({
    code: "not_found",
    reason: "ISSUER_NOT_AN_ADDRESS",
    message: "MUIN_ISSUER must be the https address of this installation for its discovery document to be of use",
  });
}

/** There is a second factor already. */
export function secondFactorSet(): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "SECOND_FACTOR_SET",
    message: "a second factor is set: disable it first",
  });
}

/** There is no second factor, or none was begun within the last minutes. */
export function noSecondFactor(): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "NO_SECOND_FACTOR",
    message: "the account has no second factor; one begins with BeginTotp",
  });
}

/** The password is right, but the person may not use Muin. */
export function accountSuspended(): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "ACCOUNT_SUSPENDED",
    message: "this account is suspended: ask who runs this installation",
  });
}

/** The current password, given to change it, is wrong. */
export function wrongPassword(): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "WRONG_PASSWORD",
    message: "the current password is wrong",
  });
}

/** Too many failures, for the account or from the network. The same for accounts that do not exist. */
export function signInLocked(retryAfterMs: number): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "SIGN_IN_LOCKED",
    message: "too many failed attempts: wait before the next one",
    retryAfterMs,
  });
}

/** Too many calls wait for a password to be hashed. */
export function signInBusy(retryAfterMs: number, cause: unknown): MuinError {
  return new MuinError({
    code: "resource_exhausted",
    reason: "SIGN_IN_BUSY",
    message: "too many sign-ins are waiting: try again",
    retryAfterMs,
    cause,
  });
}

/** The text is not an e-mail address. */
export function invalidEmail(): MuinError {
  return invalidField("email", "must be an e-mail address such as ada@example.org");
}

/** A field that no rule of the proto could refuse. */
export function invalidField(field: string, description: string): MuinError {
  return new MuinError({
    code: "invalid_argument",
    reason: "INVALID_FIELD",
    message: `${field} ${description}`,
    violations: [{ field, description }],
  });
}

/** The address has an account. */
export function emailTaken(): MuinError {
  return new MuinError({
    code: "already_exists",
    reason: "EMAIL_TAKEN",
    message: "this e-mail address has an account: sign in instead",
  });
}

/** The refresh token is unknown, was used, or its session has ended: one answer for all. */
export function badRefreshToken(): MuinError {
  return new MuinError({
    code: "unauthenticated",
    reason: "BAD_REFRESH_TOKEN",
    message: "the refresh token is not valid: sign in again",
  });
}

/** The caller has no such session, whether somebody else has it or nobody. */
export function notYourSession(): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "NOT_YOURS",
    message: "you have no such session",
  });
}

/** No key has this id. */
export function apiKeyNotFound(): MuinError {
  return new MuinError({ code: "not_found", reason: "API_KEY_NOT_FOUND", message: "there is no such API key" });
}

/** The secret is nobody's, or its key was revoked or has expired. */
export function badApiKey(): MuinError {
  return new MuinError({ code: "unauthenticated", reason: "BAD_API_KEY", message: "the API key is not valid" });
}

/** The caller would give what it does not hold. */
export function scopeNotHeld(scope: string): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "SCOPE_NOT_HELD",
    message: `only who holds the scope ${scope} can give it`,
    metadata: { scope },
  });
}

/** The caller asks for what belongs to another person. */
export function notYours(scope: string): MuinError {
  return new MuinError({
    code: "permission_denied",
    reason: "NOT_YOURS",
    message: `only who holds the scope ${scope} may see what belongs to another person`,
    metadata: { scope },
  });
}

/** There are as many live API keys as there may be. */
export function tooManyApiKeys(max: number): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "TOO_MANY_API_KEYS",
    message: `there are ${max} live API keys, as many as there may be: revoke some`,
  });
}

/** Nobody has, or ever had, this id. */
export function personNotFound(): MuinError {
  return new MuinError({ code: "not_found", reason: "PERSON_NOT_FOUND", message: "there is no such person" });
}

/** The key of a person who still has an account is needed. */
export function accountExists(): MuinError {
  return new MuinError({
    code: "failed_precondition",
    reason: "ACCOUNT_EXISTS",
    message: "the person's account still exists: delete the person first",
  });
}
