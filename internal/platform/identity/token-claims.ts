/** Claims of the tokens that auth signs (RFC 7519, EdDSA with `kid`) and every service verifies. */
export interface TokenClaims {
  /** The installation's issuer, the same for all of its services. */
  readonly iss: string;
  /** `tokenAudience`, in a device's token `deviceTokenAudience`, in a service's `serviceTokenAudience`. */
  readonly aud: string;
  /** A person's user id, `service:<name>` for one of Muin's own services, `device:<id>` for a device. */
  readonly sub: string;
  /** Issued, in seconds since the Unix epoch. */
  readonly iat: number;
  /** Ends, in seconds since the Unix epoch. */
  readonly exp: number;
  /** Session id. People's tokens have it, services' tokens do not. */
  readonly sid?: string;
  /** Scopes, separated by one space. People's tokens have it, services' tokens do not: they are admitted by kind. */
  readonly scope?: string;
}

/** The audience of people's tokens. */
export const tokenAudience = "muin";

/** The one algorithm that tokens are signed with. */
export const tokenAlgorithm = "EdDSA";

/** What the subject of a service's token begins with; its name in the catalogue follows. */
export const serviceSubjectPrefix = "service:";

/** What the subject of a device's token begins with; its id follows. */
export const deviceSubjectPrefix = "device:";

/** The audience of a device's token, and the type in its header (RFC 8725): no other token has them. */
export const deviceTokenAudience = "muin-device";
export const deviceTokenType = "muin-device+jwt";

/** How long a device's token is good for, at the longest. */
export const deviceTokenLifeMsMax: number = 24 * 60 * 60_000;

/**
 * How far ahead a token may be dated: the clock of auth ran ahead by so much when it issued it, and was put back since. It is good for
 * its life from when it is first seen. Revocations are remembered for so much longer.
 */
export const tokenAheadMsMax: number = 24 * 60 * 60_000;

/** The audience of a service's token, and the type in its header (RFC 8725): no other token has them. */
export const serviceTokenAudience = "muin-service";
export const serviceTokenType = "muin-service+jwt";

/** How long a service's token is good for, at the longest. */
export const serviceTokenLifeMsMax: number = 15 * 60_000;

/** How long after its issue a service's token may be taken while auth, which would renew it, is away. */
export const serviceTokenGraceMs: number = 60 * 60_000;

/** What a service's bootstrap secret begins with; 43 characters of base64url, 32 bytes, follow. */
export const bootstrapSecretPrefix = "muin-service_";

/** The audience of an entry pass, and the type in its header (RFC 8725): no token has them. Short: a pass becomes a QR code. */
export const entryPassAudience = "muin-pass";
export const entryPassType = "pass+jwt";

/** How long an entry pass is good for, at the longest. */
export const entryPassLifeMsMax: number = 24 * 60 * 60_000;

/** What an API key's secret begins with: tells it from a token. */
export const apiKeyPrefix = "muin_";

/** How long a person's token is good for, at the longest. Revoked sessions are remembered a minute longer. */
export const accessTokenLifeMsMax: number = 15 * 60_000;

/** How far the clocks of who issues a token and who verifies it may differ. */
export const clockSkewMs = 5000;

/** A token longer than this is refused unread. */
export const tokenCharsMax = 4096;
