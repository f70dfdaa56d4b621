import { SignJWT } from "jose";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { DeviceClaims } from "../../../platform/identity/device-token.ts";
import { entryPassClaims, type EntryPassClaims } from "../../../platform/identity/entry-pass.ts";
import {
  deviceSubjectPrefix,
  deviceTokenAudience,
  deviceTokenLifeMsMax,
  deviceTokenType,
  entryPassType,
  serviceSubjectPrefix,
  serviceTokenAudience,
  serviceTokenType,
  tokenAlgorithm,
  tokenAudience,
  type TokenClaims,
} from "../../../platform/identity/token-claims.ts";
import type { AuthConfig } from "../config.ts";
import type { SigningKeys } from "./signing-keys.ts";

/** A signed token and its end. */
export interface IssuedToken {
  readonly token: string;
  readonly issueTimeMs: number;
  readonly expireTimeMs: number;
}

/** Signs tokens with the key that is active. */
export interface TokenIssuer {
  /** A person's token: at most 15 minutes. */
  issueAccess(person: {
    readonly userId: string;
    readonly sessionId: string;
    readonly scopes: readonly string[];
  }): Promise<IssuedToken>;
  /** A service's token, issued at `issueMs` (default: now). */
  issueService(serviceName: string, lifeMs: number, issueMs?: number): Promise<IssuedToken>;
  /** A device's token, of a day, bound to the device's key. Its signing key stays published until it ends. */
  issueDevice(device: {
    readonly deviceId: string;
    /** The key's 32 bytes in base64url. */
    readonly x: string;
    readonly branchIds: readonly string[];
  }): Promise<IssuedToken>;
  /** An entry pass: no token, but signed alike. Its signing key stays published until it ends. */
  issueEntryPass(pass: {
    readonly passId: string;
    readonly memberId: string;
    readonly branchId: string;
    readonly lifeMs: number;
  }): Promise<IssuedToken>;
}

/** Issues tokens in the name of `config.issuer`. */
export function createTokenIssuer(deps: {
  readonly keys: Pick<SigningKeys, "active" | "keepUntil">;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<AuthConfig, "issuer" | "accessTokenLifeMs">;
}): TokenIssuer {
  const { keys, clock, random, config } = deps;
  const claimsFor = (sub: string, lifeMs: number, issueMs = clock.now()): TokenClaims & { readonly jti: string } => {
    const iat = Math.floor(issueMs / 1000);
    return {
      iss: config.issuer,
      aud: tokenAudience,
      sub,
      iat,
      exp: iat + Math.floor(lifeMs / 1000),
      jti: random.uuid(),
    };
  };
  const signKept = async (claims: TokenClaims | EntryPassClaims, typ: string): Promise<IssuedToken> => {
    const key = await keys.active();
    if (!(await keys.keepUntil(key.kid, claims.exp * 1000))) throw new Error("the signing key is gone");
    return sign(claims, key, typ);
  };
  return {
    issueAccess: async ({ userId, sessionId, scopes }) =>
      sign(
        { ...claimsFor(userId, config.accessTokenLifeMs), sid: sessionId, scope: scopes.join(" ") },
        await keys.active(),
      ),
    issueService: async (serviceName, lifeMs, issueMs) => {
      const claims = claimsFor(`${serviceSubjectPrefix}${serviceName}`, lifeMs, issueMs);
      return sign({ ...claims, aud: serviceTokenAudience }, await keys.active(), serviceTokenType);
    },
    issueDevice: ({ deviceId, x, branchIds }) => {
      const claims: TokenClaims & DeviceClaims = {
        ...claimsFor(`${deviceSubjectPrefix}${deviceId}`, deviceTokenLifeMsMax),
        aud: deviceTokenAudience,
        cnf: { jwk: { kty: "OKP", crv: "Ed25519", x } },
        branches: branchIds,
      };
      return signKept(claims, deviceTokenType);
    },
    issueEntryPass: (pass) => signKept(entryPassClaims({ ...pass, issueMs: clock.now() }), entryPassType),
  };
}

async function sign(
  claims: TokenClaims | EntryPassClaims,
  key: { readonly kid: string; readonly privateKey: CryptoKey },
  typ = "JWT",
): Promise<IssuedToken> {
  const header = { alg: tokenAlgorithm, kid: key.kid, typ };
  const token = await new SignJWT({ ...claims }).setProtectedHeader(header).sign(key.privateKey);
  return { token, issueTimeMs: claims.iat * 1000, expireTimeMs: claims.exp * 1000 };
}
