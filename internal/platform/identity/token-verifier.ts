import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from "jose";
import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createLruMap } from "../cache/lru-map.ts";
import type { Caller } from "./caller.ts";
import { deviceIn } from "./device-token.ts";
import { identityErrors } from "./errors.ts";
import { createRevocations } from "./revocations.ts";
import {
  accessTokenLifeMsMax,
  deviceSubjectPrefix,
  deviceTokenAudience,
  deviceTokenLifeMsMax,
  deviceTokenType,
  serviceSubjectPrefix,
  tokenAlgorithm,
  tokenAudience,
} from "./token-claims.ts";

/** An Ed25519 public key as a JSON Web Key (RFC 8037). */
export interface TokenKey {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly kid: string;
}

/** Whom tokens must name as issuer, where keys come from, and who is told of refusals. */
export interface TokenVerifierDeps {
  readonly issuer: string;
  /** The keys that may sign now. Rejects when auth cannot be asked. */
  readonly fetchKeys: () => Promise<readonly TokenKey[]>;
  /** The one error of bad credentials; tells the log and the metrics why. */
  readonly refused: (why: string) => MuinError;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Tells who holds a token. */
export interface TokenVerifier {
  /** The caller, at once when the token was seen before. Throws or rejects with MuinError otherwise. */
  callerOf(token: string): Caller | Promise<Caller>;
  /** From now on no token of the session is accepted. */
  sessionRevoked(sessionId: string): void;
  /** From now on no token of the device is accepted. */
  deviceRevoked(deviceId: string): void;
  /** Why no token can be verified, or `undefined`. Fetches the keys when there are none yet. */
  readiness(): Promise<string | undefined>;
}

/** Verified tokens that are remembered. */
const tokensMax = 50_000;
/** Revoked sessions that are remembered. */
const revokedSessionsMax = 1_000_000;
/** Revoked devices that are remembered, and for how long: an hour longer than a token of theirs lives. */
const revokedDevicesMax = 1_000_000;
export const deviceRevocationLifeMs: number = deviceTokenLifeMsMax + 60 * 60_000;
/** Keys are fetched again no sooner than this, whatever tokens come; sooner when auth did not answer. */
const keysAskIntervalMs = 3000;
const keysRetryMs = 500;
/** Keys older than this are fetched anew beside the call that uses them, so that a withdrawn key goes. */
const keysFreshMs = 5 * 60_000;
/** Keys that are taken from one answer. */
const keysMax = 64;
/** How far clocks may differ. */
const clockSkewMs = 5000;
const idCharsMax = 128;
const scopesMax = 64;

/** A verifier without keys: the first token fetches them. */
export function createTokenVerifier(deps: TokenVerifierDeps): TokenVerifier {
  const { refused, clock } = deps;
  const keys = createKeySet(deps);
  const seen = createLruMap<{ readonly caller: Caller; readonly endMs: number }>(tokensMax);
  const revoked = createRevocations(clock, revokedSessionsMax);
  const revokedDevices = createRevocations(clock, revokedDevicesMax, deviceRevocationLifeMs);

  const admit = (caller: Caller): Caller => {
    if (caller.kind === "person" && revoked.has(caller.sessionId)) throw refused("session revoked");
    if (caller.kind === "device" && revokedDevices.has(caller.id)) throw refused("device revoked");
    return caller;
  };

  const verify = async (token: string, hash: string): Promise<Caller> => {
    const { keyId, isDevice } = headerOf(token, refused);
    const key = await keys.get(keyId);
    const claims = await verifiedClaims(token, key, isDevice ? deviceTokens : otherTokens, deps);
    if (claims.iat! * 1000 > clock.now() + clockSkewMs) throw refused("issued in the future");
    const caller = isDevice ? deviceIn(claims, refused) : callerIn(claims, refused);
    seen.set(hash, { caller, endMs: claims.exp! * 1000 });
    return admit(caller);
  };

  return {
    callerOf: (token) => {
      const hash = Bun.SHA256.hash(token, "base64");
      const known = seen.get(hash);
      if (known === undefined) return verify(token, hash);
      if (known.endMs > clock.now()) return admit(known.caller);
      seen.delete(hash);
      return verify(token, hash);
    },
    sessionRevoked: (sessionId) => revoked.add(sessionId),
    deviceRevoked: (deviceId) => revokedDevices.add(deviceId),
    readiness: () => keys.readiness(),
  };
}

/** What the header of a device's token must say, and what it says it is for; a token of another kind is no device's. */
const deviceTokens = { audience: deviceTokenAudience, typ: deviceTokenType };
const otherTokens = { audience: tokenAudience };

/** The token's key id and kind, after everything that can be refused without a key. */
function headerOf(
  token: string,
  refused: TokenVerifierDeps["refused"],
): { readonly keyId: string; readonly isDevice: boolean } {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    throw refused("not a token"); // What was malformed about it interests nobody.
  }
  if (header.alg !== tokenAlgorithm) throw refused("wrong algorithm");
  if (typeof header.kid !== "string" || header.kid.length > idCharsMax) throw refused("no key id");
  return { keyId: header.kid, isDevice: header.typ === deviceTokenType };
}

async function verifiedClaims(
  token: string,
  key: CryptoKey,
  kind: { readonly audience: string; readonly typ?: string },
  deps: TokenVerifierDeps,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [tokenAlgorithm],
      issuer: deps.issuer,
      ...kind,
      requiredClaims: ["sub", "iat", "exp"],
      clockTolerance: clockSkewMs / 1000,
      currentDate: new Date(deps.clock.now()),
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) throw deps.refused("expired");
    if (error instanceof errors.JWTClaimValidationFailed) throw deps.refused(`wrong claim ${error.claim}`);
    if (error instanceof errors.JWSSignatureVerificationFailed) throw deps.refused("wrong signature");
    if (error instanceof errors.JOSEError) throw deps.refused("malformed token");
    throw error;
  }
}

function callerIn(claims: JWTPayload, refused: TokenVerifierDeps["refused"]): Caller {
  const { sub, iat, exp, sid, scope } = claims as JWTPayload & { sid?: unknown; scope?: unknown };
  if (sub === undefined || sub === "" || sub.startsWith(deviceSubjectPrefix) || sub.length > idCharsMax)
    throw refused("wrong claim sub");
  // Bound to a key that its holder must prove to have: such a token alone proves nothing.
  if (claims["cnf"] !== undefined) throw refused("bound to a key");

  if (sub.startsWith(serviceSubjectPrefix)) {
    const id = sub.slice(serviceSubjectPrefix.length);
    if (!/^[a-z][a-z0-9-]*$/.test(id) || sid !== undefined) throw refused("wrong claim sub");
    return { kind: "service", id, principal: sub };
  }
  if (typeof sid !== "string" || sid === "" || sid.length > idCharsMax) throw refused("wrong claim sid");
  if (typeof scope !== "string") throw refused("wrong claim scope");
  const scopes = scope === "" ? [] : scope.split(" ");
  if (scopes.length > scopesMax) throw refused("wrong claim scope");
  // A longer life would outlive the memory of revoked sessions.
  if ((exp! - iat!) * 1000 > accessTokenLifeMsMax) throw refused("lives too long");
  return { kind: "person", id: sub, principal: `person:${sub}`, scopes: new Set(scopes), sessionId: sid };
}

interface KeySet {
  get(keyId: string): Promise<CryptoKey>;
  readiness(): Promise<string | undefined>;
}

/** The keys of auth: fetched when one is missing, kept while auth is away. */
function createKeySet({ fetchKeys, refused, clock, log }: TokenVerifierDeps): KeySet {
  let keys: ReadonlyMap<string, CryptoKey> = new Map();
  let askedAtMs = Number.NEGATIVE_INFINITY;
  let failure: unknown;
  let asking: Promise<void> | undefined;

  const fetchAll = async (): Promise<void> => {
    try {
      const fetched = new Map<string, CryptoKey>();
      for (const { kty, crv, x, kid } of (await fetchKeys()).slice(0, keysMax)) {
        if (kty !== "OKP" || crv !== "Ed25519" || kid === "") continue;
        fetched.set(kid, await crypto.subtle.importKey("jwk", { kty, crv, x }, "Ed25519", false, ["verify"]));
      }
      if (fetched.size === 0) throw new Error("auth named no key that verifies tokens");
      keys = fetched;
      failure = undefined;
    } catch (error) {
      failure = error;
      log.warn("the keys that verify tokens could not be fetched", { err: error, kept: keys.size });
    }
  };
  /** Never rejects; at most one at a time, and none too soon after another. */
  const refresh = (): Promise<void> | undefined => {
    const intervalMs = failure === undefined ? keysAskIntervalMs : keysRetryMs;
    if (asking === undefined && clock.monotonic() - askedAtMs >= intervalMs) {
      askedAtMs = clock.monotonic();
      asking = fetchAll().finally(() => (asking = undefined));
    }
    return asking;
  };

  return {
    get: async (keyId) => {
      const known = keys.get(keyId);
      if (known !== undefined) {
        if (clock.monotonic() - askedAtMs > keysFreshMs) void refresh();
        return known;
      }
      await refresh();
      const fetched = keys.get(keyId);
      if (fetched !== undefined) return fetched;
      if (failure === undefined) throw refused("unknown key id");
      throw identityErrors.tokensUnavailable({ cause: failure });
    },
    readiness: async () => {
      if (keys.size === 0) await refresh();
      return keys.size === 0 ? "the keys that verify tokens could not be fetched from auth" : undefined;
    },
  };
}
