import { decodeProtectedHeader, errors, jwtVerify, type JWTPayload } from "jose";
import { createLruMap } from "../cache/lru-map.ts";
import type { Clock } from "../clock/clock.ts";
import { isUuid } from "../clock/random.ts";
import { MuinError } from "../errors/muin-error.ts";
import type { KeySet } from "./key-set.ts";
import type { RevocationDoubt } from "./revocation-doubt.ts";
import { createRevocations } from "./revocations.ts";
import {
  clockSkewMs,
  entryPassAudience,
  entryPassLifeMsMax,
  entryPassType,
  tokenAheadMsMax,
  tokenAlgorithm,
} from "./token-claims.ts";

/** Whom a pass lets in, and where: what its signature proves. Whether it was used is for the door to know. */
export interface EntryPass {
  readonly passId: string;
  readonly memberId: string;
  readonly branchId: string;
  /** When it ends by its own words, in milliseconds since 1970. */
  readonly expireMs: number;
}

/** Why a pass lets nobody in: none of this installation's, ended, revoked; "unavailable" when that cannot be told now. */
export type EntryPassRefusal = "invalid" | "expired" | "revoked" | "unavailable";

/** Tells what an entry pass is good for, without asking anybody: by the keys of auth that are known, and the revocations that were told. */
export interface EntryPasses {
  /** Never rejects for what the pass is. A key that is not known is asked of auth. */
  verify(pass: string): Promise<EntryPass | EntryPassRefusal>;
}

/** The same, with the way to tell it of revocations. */
export interface EntryPassVerifier extends EntryPasses {
  /** From now on the pass is not good, which would have ended at `expireMs`, in milliseconds since 1970. */
  revoked(passId: string, expireMs: number): void;
}

/**
 * Claims of a pass: ids as their 16 bytes in base64url, so that the whole is short. It names no issuer: keys are of one installation.
 */
export interface EntryPassClaims {
  readonly aud: string;
  /** The pass. */
  readonly jti: string;
  /** The person. */
  readonly sub: string;
  readonly branch: string;
  /** Issued, and ends, in seconds since 1970. */
  readonly iat: number;
  readonly exp: number;
}

/** What a pass says that is issued at `issueMs` for `lifeMs`. Throws unless all ids are UUIDs. */
export function entryPassClaims(pass: {
  readonly passId: string;
  readonly memberId: string;
  readonly branchId: string;
  readonly issueMs: number;
  readonly lifeMs: number;
}): EntryPassClaims {
  const iat = Math.floor(pass.issueMs / 1000);
  return {
    aud: entryPassAudience,
    jti: shortOf(pass.passId),
    sub: shortOf(pass.memberId),
    branch: shortOf(pass.branchId),
    iat,
    exp: iat + Math.floor(pass.lifeMs / 1000),
  };
}

/** Longer than any pass: it is refused unread. */
const passCharsMax = 1024;
/** Passes dated ahead of which it is remembered when they were first seen. */
const aheadMax = 50_000;

/** A verifier of passes. Its clock may be put back: `verify` and `revoked` say what holds then as they do of tokens. */
export function createEntryPassVerifier(deps: {
  readonly keys: Pick<KeySet, "get">;
  readonly doubt: Pick<RevocationDoubt, "refuses">;
  readonly clock: Pick<Clock, "now" | "monotonic">;
}): EntryPassVerifier {
  const { keys, doubt, clock } = deps;
  const revocations = createPassRevocations(clock);
  const seenAheadMs = createLruMap<number>(aheadMax);

  /** When a pass ends: one that is dated ahead, by a clock that was put back since, is good for its life from when it is first seen. */
  const endMsOf = (passId: string, issueMs: number, lifeMs: number): number => {
    let sinceMs = seenAheadMs.get(passId);
    if (sinceMs === undefined && issueMs > clock.now() + clockSkewMs) {
      sinceMs = clock.now();
      seenAheadMs.set(passId, sinceMs);
    }
    return (sinceMs ?? issueMs) + lifeMs;
  };

  return {
    verify: async (pass) => {
      const keyId = keyIdOf(pass);
      if (keyId === undefined) return "invalid";
      const key = await knownKey(keys, keyId);
      if (typeof key === "string") return key;
      const claims = await verifiedClaims(pass, key, clock.now());
      if (typeof claims === "string") return claims;
      const [passId, memberId, branchId] = [longOf(claims.jti), longOf(claims.sub), longOf(claims["branch"])];
      if (passId === undefined || memberId === undefined || branchId === undefined) return "invalid";
      const [issueMs, expireMs] = [claims.iat! * 1000, claims.exp! * 1000];
      // A longer life would outlive the memory of revoked passes.
      if (expireMs - issueMs > entryPassLifeMsMax || issueMs > clock.now() + tokenAheadMsMax) return "invalid";
      if (revocations.has(passId)) return "revoked";
      if (clock.now() > endMsOf(passId, issueMs, expireMs - issueMs) + clockSkewMs) return "expired";
      if (doubt.refuses(issueMs)) return "unavailable";
      return { passId, memberId, branchId, expireMs };
    },
    revoked: (passId, expireMs) => revocations.add(passId, expireMs),
  };
}

/** The id of the key that a pass names, after everything that can be refused without a key. */
function keyIdOf(pass: string): string | undefined {
  if (pass.length > passCharsMax) return undefined;
  try {
    const { alg, typ, kid } = decodeProtectedHeader(pass);
    return alg === tokenAlgorithm && typ === entryPassType && typeof kid === "string" ? kid : undefined;
  } catch {
    return undefined; // What was malformed about it interests nobody.
  }
}

async function knownKey(keys: Pick<KeySet, "get">, keyId: string): Promise<CryptoKey | "invalid" | "unavailable"> {
  try {
    return await keys.get(keyId);
  } catch (error) {
    if (error instanceof MuinError) return error.code === "unavailable" ? "unavailable" : "invalid";
    throw error;
  }
}

async function verifiedClaims(
  pass: string,
  key: CryptoKey,
  nowMs: number,
): Promise<JWTPayload | "invalid" | "expired"> {
  try {
    const { payload } = await jwtVerify(pass, key, {
      algorithms: [tokenAlgorithm],
      audience: entryPassAudience,
      typ: entryPassType,
      requiredClaims: ["jti", "sub", "branch", "iat", "exp"],
      clockTolerance: clockSkewMs / 1000,
      currentDate: new Date(nowMs),
    });
    return payload;
  } catch (error) {
    if (error instanceof errors.JWTExpired) return "expired";
    if (error instanceof errors.JOSEError) return "invalid";
    throw error;
  }
}

const minuteMs = 60_000;
/** Passes live for minutes or for a day, and are dated ahead by a day at most: each is remembered in the least of these that outlives it. */
const memoriesMs = [15 * minuteMs, 2 * 60 * minuteMs, tokenAheadMsMax + entryPassLifeMsMax + 60 * minuteMs] as const;
/** Revoked passes that each memory remembers. */
const revokedMax = 200_000;
/** Of passes that have ended, by this clock, so many are remembered at the least, and twice as many at the most: it may be put back. */
const endedMin = 50_000;

/** Passes that were revoked, each until it has ended. A full memory counts every pass as revoked: that is safe. */
function createPassRevocations(clock: Pick<Clock, "now" | "monotonic">) {
  const memories = memoriesMs.map((lifeMs) => ({ lifeMs, ids: createRevocations(clock, revokedMax, lifeMs) }));
  let latest = new Set<string>();
  let earlier = new Set<string>();
  return {
    add: (passId: string, expireMs: number): void => {
      if (latest.size >= endedMin) [earlier, latest] = [latest, new Set()];
      latest.add(passId);
      const leftMs = expireMs + 2 * clockSkewMs - clock.now();
      if (leftMs > 0) (memories.find(({ lifeMs }) => lifeMs >= leftMs) ?? memories.at(-1))?.ids.add(passId);
    },
    has: (passId: string): boolean =>
      latest.has(passId) || earlier.has(passId) || memories.some(({ ids }) => ids.has(passId)),
  };
}

function shortOf(id: string): string {
  if (!isUuid(id)) throw new TypeError("a pass names UUIDs alone");
  return Buffer.from(id.replaceAll("-", ""), "hex").toString("base64url");
}

function longOf(short: unknown): string | undefined {
  if (typeof short !== "string" || !/^[A-Za-z0-9_-]{22}$/.test(short)) return undefined;
  const hex = Buffer.from(short, "base64url").toString("hex");
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, "$1-$2-$3-$4-$5");
}
