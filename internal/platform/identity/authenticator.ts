import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { createApiKeyVerifier, type VerifiedApiKey } from "./api-key-verifier.ts";
import { anonymous, type Caller } from "./caller.ts";
import { identityErrors } from "./errors.ts";
import type { Peer } from "./network.ts";
import { apiKeyPrefix, tokenCharsMax } from "./token-claims.ts";
import { createTokenVerifier, type TokenKey } from "./token-verifier.ts";

/** Whom tokens must name as issuer, how auth is asked, and how fresh what the bus tells of revocations is. */
export interface AuthenticatorDeps {
  /** The issuer that tokens must name. */
  readonly issuer: string;
  /** The keys that may sign tokens now. Rejects when auth cannot be asked. */
  readonly fetchKeys: () => Promise<readonly TokenKey[]>;
  /** Whose API key has this SHA-256; `undefined` for nobody's. Rejects when auth cannot be asked. */
  verifyApiKey(secretHash: Uint8Array<ArrayBuffer>): Promise<VerifiedApiKey | undefined>;
  /** Age of the bus's newest heartbeat in milliseconds; Infinity before the first. */
  heartbeatAgeMs(): number;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}

/** Tells who calls, from the header Authorization alone. */
export interface Authenticator {
  /**
   * The caller, at once when nothing has to be asked; `null` is the anonymous caller. Credentials that prove nobody end with
   * MuinError `unauthenticated`, one answer whatever was wrong; `unavailable` when it cannot be told now; `resource_exhausted` when
   * too many keys that are nobody's come from the network of `peer`. Without a peer they are counted as one network's.
   */
  authenticate(authorization: string | null, peer?: Peer): Caller | Promise<Caller>;
  /** From now on no token of the session is accepted. */
  sessionRevoked(sessionId: string): void;
  /** From now on no token of the device is accepted. */
  deviceRevoked(deviceId: string): void;
  /** From now on the API key is not accepted. */
  apiKeyRevoked(apiKeyId: string): void;
  /** Why no token can be verified, or `undefined`. Fetches the keys when there are none yet. */
  readiness(): Promise<string | undefined>;
}

/** At most one line a second says why credentials were refused: whoever guesses does not fill the log. */
const refusalLogIntervalMs = 1000;

/** An authenticator that has asked nothing yet. */
export function createAuthenticator(deps: AuthenticatorDeps): Authenticator {
  const { clock, log, metrics } = deps;
  const refusals = metrics.counter({
    name: "identity_refusals_total",
    help: "Credentials that were refused, by reason.",
    labels: ["why"],
  });
  let loggedAtMs = Number.NEGATIVE_INFINITY;
  let unlogged = 0;
  const refused = (why: string): MuinError => {
    refusals.add(1, { why });
    if (clock.monotonic() - loggedAtMs < refusalLogIntervalMs) {
      unlogged++;
    } else {
      log.info("credentials were refused", { why, unlogged });
      loggedAtMs = clock.monotonic();
      unlogged = 0;
    }
    return identityErrors.credentialsInvalid();
  };
  const tokens = createTokenVerifier({ ...deps, refused });
  const apiKeys = createApiKeyVerifier({ ...deps, refused });

  return {
    authenticate: (authorization, peer) => {
      if (authorization === null) return anonymous;
      if (authorization.length > tokenCharsMax) throw refused("too long");
      const credential = bearerOf(authorization);
      if (credential === undefined) throw refused("not a bearer");
      return credential.startsWith(apiKeyPrefix) ? apiKeys.callerOf(credential, peer) : tokens.callerOf(credential);
    },
    sessionRevoked: (sessionId) => tokens.sessionRevoked(sessionId),
    deviceRevoked: (deviceId) => tokens.deviceRevoked(deviceId),
    apiKeyRevoked: (apiKeyId) => apiKeys.apiKeyRevoked(apiKeyId),
    readiness: () => tokens.readiness(),
  };
}

/** The scheme is the same in upper and lower case (RFC 9110); nearly everybody writes "Bearer". */
function bearerOf(authorization: string): string | undefined {
  if (authorization.startsWith("Bearer ")) return authorization.slice(7).trim();
  return /^bearer +(\S+)\s*$/i.exec(authorization)?.[1];
}
