import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from "jose";
import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createLruMap } from "../cache/lru-map.ts";
import type { Caller } from "./caller.ts";
import { deviceIn } from "./device-token.ts";
import { createEntryPassVerifier, type EntryPassVerifier } from "./entry-pass.ts";
import { identityErrors } from "./errors.ts";
import { createKeySet, type TokenKey } from "./key-set.ts";
import { createRevocationDoubt } from "./revocation-doubt.ts";
import { createRevocations, revocationLifeMs } from "./revocations.ts";
import {
  accessTokenLifeMsMax,
  clockSkewMs,
  deviceSubjectPrefix,
  deviceTokenAudience,
  deviceTokenLifeMsMax,
  deviceTokenType,
  serviceSubjectPrefix,
  serviceTokenAudience,
  serviceTokenGraceMs,
  serviceTokenLifeMsMax,
  serviceTokenType,
  tokenAheadMsMax,
  tokenAlgorithm,
  tokenAudience,
} from "./token-claims.ts";

/** Whom tokens must name as issuer, where keys come from, and who is told of refusals. */
export interface TokenVerifierDeps {
  readonly issuer: string;
  /** The keys that may sign now. Rejects when auth cannot be asked. */
  readonly fetchKeys: () => Promise<readonly TokenKey[]>;
  /** Told of the keys whenever they were fetched, to keep them. Default: nobody. */
  readonly keysFetched?: ((keys: readonly TokenKey[]) => void) | undefined;
  /**
   * Whether tokens of devices and entry passes are taken for as long as they live, though revocations may not have been heard: of those that were, a
   * process that says so has forgotten none, not even by its end. Default false.
   */
  readonly keepsRevocations?: boolean;
  /** The one error of bad credentials; tells the log and the metrics why. */
  readonly refused: (why: string) => MuinError;
  /** Told of each call that a service made by a token that had ended, because auth is away. Default: nobody. */
  readonly tookLate?: (service: string) => void;
  readonly clock: Clock;
  readonly log: Logger;
}

/** Tells who holds a token. */
export interface TokenVerifier {
  /** The caller, at once when the token was seen before. Throws or rejects with MuinError otherwise. */
  callerOf(token: string): Caller | Promise<Caller>;
  /** From now on no token of the session is accepted: its last one was issued until `untilMs`, in milliseconds since 1970. */
  sessionRevoked(sessionId: string, untilMs: number): void;
  /** From now on no token of the device is accepted. */
  deviceRevoked(deviceId: string): void;
  /** From now on no token of the service is accepted that was issued until then, in milliseconds since 1970. */
  serviceWithdrawn(service: string, untilMs: number): void;
  /** Verifies entry passes, which name no caller, by the same keys. */
  readonly entryPasses: EntryPassVerifier;
  /**
   * Revocations may not have been heard until now: tokens that were issued before are taken for a minute more, and then refused as
   * `unavailable` until `revocationsRead`; not those of devices, nor entry passes, where revocations are kept.
   */
  revocationsMissed(): void;
  /** All revocations that still matter have been told. */
  revocationsRead(): void;
  /** Takes keys that an earlier process verified tokens by, unless auth has been asked; they hold until it answers. */
  adoptKeys(keys: readonly TokenKey[]): Promise<void>;
  /** Why no token can be verified, or `undefined`. Fetches the keys when there are none yet. */
  readiness(): Promise<string | undefined>;
}

/** Verified tokens that are remembered. */
const tokensMax = 50_000;
/** Revoked sessions that are remembered. */
const revokedSessionsMax = 1_000_000;
/** Of sessions whose tokens must have ended, if this clock is right, so many are remembered. */
const pastSessionsMax = 100_000;
/** So many are remembered for a day more, in which this clock may be put back: their tokens are then dated ahead. */
const daySessionsMax = 500_000;
/** Revoked devices that are remembered, and for how long: an hour longer than a token of theirs can live, one dated ahead too. */
const revokedDevicesMax = 1_000_000;
export const deviceRevocationLifeMs: number = tokenAheadMsMax + deviceTokenLifeMsMax + 60 * 60_000;
/** How long a service's withdrawal matters: a minute longer than a token of it may be taken. */
export const withdrawalLifeMs: number = serviceTokenGraceMs + 60_000;
/** Withdrawn services that are remembered. */
const withdrawnServicesMax = 10_000;
const idCharsMax = 128;
const scopesMax = 64;

/** A token that was verified: good until its end, as long as auth names its key. */
interface Verified {
  readonly caller: Caller;
  readonly keyId: string;
  /** When it says that it was issued. */
  readonly issueMs: number;
  /** From when on it is good: when it was issued, or when it was first seen, if that was before. */
  readonly sinceMs: number;
  readonly endMs: number;
}

/** Of whose revocations what was heard counts. */
const noDoubt = { refuses: () => false } as const;

/** A verifier without keys: the first token fetches them. */
export function createTokenVerifier(deps: TokenVerifierDeps): TokenVerifier {
  const { refused, clock } = deps;
  const keys = createKeySet(deps);
  const seen = createLruMap<Verified>(tokensMax);
  const revoked = createRevocations(clock, revokedSessionsMax);
  const revokedAhead = createRevocations(clock, revokedSessionsMax, tokenAheadMsMax + revocationLifeMs);
  const revokedDevices = createRevocations(clock, revokedDevicesMax, deviceRevocationLifeMs);
  const withdrawn = createLruMap<number>(withdrawnServicesMax);
  const doubt = createRevocationDoubt(clock);

  const admit = ({ caller, issueMs }: Verified): Caller => {
    if (caller.kind === "person" && (revoked.has(caller.sessionId) || revokedAhead.has(caller.sessionId)))
      throw refused("session revoked");
    if (caller.kind === "device" && revokedDevices.has(caller.id)) throw refused("device revoked");
    if (caller.kind === "service" && issueMs <= (withdrawn.get(caller.id) ?? -1)) throw refused("service withdrawn");
    const isKept = caller.kind === "device" && deps.keepsRevocations === true;
    if (!isKept && doubt.refuses(issueMs)) throw identityErrors.tokensUnavailable();
    return caller;
  };

  /** A service that cannot renew its token because auth is away goes on with its last one, for a while. */
  const admitLate = (token: Verified): Caller | Promise<Caller> => {
    if (token.caller.kind !== "service") throw refused("expired");
    const take = (isAway: boolean): Caller => {
      if (!isAway || clock.now() >= token.sinceMs + serviceTokenGraceMs) throw refused("expired");
      const caller = admit(token);
      if (caller.kind === "service") deps.tookLate?.(caller.id);
      return caller;
    };
    const isAway = keys.isAway();
    return isAway instanceof Promise ? isAway.then(take) : take(isAway);
  };

  const verify = async (token: string, hash: string): Promise<Caller> => {
    const { keyId, kind } = headerOf(token, refused);
    const claims = await verifiedClaims(token, await keys.get(keyId), kinds[kind], deps);
    const issueMs = claims.iat! * 1000;
    if (issueMs > clock.now() + tokenAheadMsMax) throw refused("issued in the future");
    // Bound to a key that its holder must prove to have: such a token alone proves nothing.
    if (kind !== "device" && claims["cnf"] !== undefined) throw refused("bound to a key");
    const caller = callersIn[kind](claims, refused);
    const sinceMs = isAhead(issueMs, clock) ? clock.now() : issueMs;
    const verified = { caller, keyId, issueMs, sinceMs, endMs: sinceMs + claims.exp! * 1000 - issueMs };
    seen.set(hash, verified);
    const isLate = caller.kind === "service" && clock.now() > verified.endMs + clockSkewMs;
    return isLate ? admitLate(verified) : admit(verified);
  };

  return {
    callerOf: (token) => {
      const hash = Bun.SHA256.hash(token, "base64");
      const known = seen.get(hash);
      if (known === undefined) return verify(token, hash);
      keys.keepFresh();
      if (keys.has(known.keyId) && known.endMs > clock.now()) return admit(known);
      // To verify it again would begin another life.
      if (keys.has(known.keyId) && isAhead(known.issueMs, clock)) return admitLate(known);
      seen.delete(hash);
      return verify(token, hash);
    },
    sessionRevoked: (sessionId, untilMs) => {
      const isPast = untilMs < clock.now() - revocationLifeMs;
      if (isAhead(untilMs, clock)) return revokedAhead.add(sessionId);
      revoked.add(sessionId, isPast ? pastSessionsMax : revokedSessionsMax);
      revokedAhead.add(sessionId, isPast ? pastSessionsMax : daySessionsMax);
    },
    deviceRevoked: (deviceId) => revokedDevices.add(deviceId),
    serviceWithdrawn: (service, untilMs) =>
      withdrawn.set(service, Math.max(untilMs, withdrawn.get(service) ?? Number.NEGATIVE_INFINITY)),
    entryPasses: createEntryPassVerifier({ keys, doubt: deps.keepsRevocations === true ? noDoubt : doubt, clock }),
    revocationsMissed: () => doubt.begin(),
    revocationsRead: () => doubt.end(),
    adoptKeys: (given) => keys.adopt(given),
    readiness: () => keys.readiness(),
  };
}

/** Whether the clock of auth was ahead when it issued a token, and was put back since. */
function isAhead(issueMs: number, clock: Pick<Clock, "now">): boolean {
  return issueMs > clock.now() + clockSkewMs;
}

/**
 * What the header of a device's or a service's token must say, what each says it is for, and how long after its end its signature
 * is still looked at: a token of one kind is none of another.
 */
const kinds = {
  device: { audience: deviceTokenAudience, typ: deviceTokenType, lateMs: clockSkewMs },
  service: {
    audience: serviceTokenAudience,
    typ: serviceTokenType,
    lateMs: serviceTokenGraceMs - serviceTokenLifeMsMax + clockSkewMs,
  },
  person: { audience: tokenAudience, lateMs: clockSkewMs },
} as const;
type Kind = keyof typeof kinds;

const callersIn: Readonly<Record<Kind, (claims: JWTPayload, refused: TokenVerifierDeps["refused"]) => Caller>> = {
  device: deviceIn,
  service: serviceIn,
  person: personIn,
};

/** The token's key id and kind, after everything that can be refused without a key. */
function headerOf(
  token: string,
  refused: TokenVerifierDeps["refused"],
): { readonly keyId: string; readonly kind: Kind } {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch {
    throw refused("not a token"); // What was malformed about it interests nobody.
  }
  if (header.alg !== tokenAlgorithm) throw refused("wrong algorithm");
  if (typeof header.kid !== "string" || header.kid.length > idCharsMax) throw refused("no key id");
  const kind = header.typ === deviceTokenType ? "device" : header.typ === serviceTokenType ? "service" : "person";
  return { keyId: header.kid, kind };
}

async function verifiedClaims(
  token: string,
  key: CryptoKey,
  { lateMs, ...kind }: { readonly audience: string; readonly typ?: string; readonly lateMs: number },
  deps: TokenVerifierDeps,
): Promise<JWTPayload> {
  try {
    const { payload } = await jwtVerify(token, key, {
      algorithms: [tokenAlgorithm],
      issuer: deps.issuer,
      ...kind,
      requiredClaims: ["sub", "iat", "exp"],
      clockTolerance: lateMs / 1000,
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

function serviceIn(claims: JWTPayload, refused: TokenVerifierDeps["refused"]): Caller {
  const { sub = "", iat, exp } = claims;
  const id = sub.startsWith(serviceSubjectPrefix) ? sub.slice(serviceSubjectPrefix.length) : "";
  if (sub.length > idCharsMax || !/^[a-z][a-z0-9-]*$/.test(id)) throw refused("wrong claim sub");
  if ((exp! - iat!) * 1000 > serviceTokenLifeMsMax) throw refused("lives too long");
  return { kind: "service", id, principal: sub };
}

function personIn(claims: JWTPayload, refused: TokenVerifierDeps["refused"]): Caller {
  const { sub = "", iat, exp, sid, scope } = claims as JWTPayload & { sid?: unknown; scope?: unknown };
  const isOther = sub.startsWith(deviceSubjectPrefix) || sub.startsWith(serviceSubjectPrefix);
  if (sub === "" || isOther || sub.length > idCharsMax) throw refused("wrong claim sub");
  if (typeof sid !== "string" || sid === "" || sid.length > idCharsMax) throw refused("wrong claim sid");
  if (typeof scope !== "string") throw refused("wrong claim scope");
  const scopes = scope === "" ? [] : scope.split(" ");
  if (scopes.length > scopesMax) throw refused("wrong claim scope");
  // A longer life would outlive the memory of revoked sessions.
  if ((exp! - iat!) * 1000 > accessTokenLifeMsMax) throw refused("lives too long");
  return { kind: "person", id: sub, principal: `person:${sub}`, scopes: new Set(scopes), sessionId: sid };
}
