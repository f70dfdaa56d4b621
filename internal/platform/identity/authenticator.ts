import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import { createApiKeyVerifier, type VerifiedApiKey } from "./api-key-verifier.ts";
import { anonymous, type Caller } from "./caller.ts";
import type { EntryPasses } from "./entry-pass.ts";
import { identityErrors } from "./errors.ts";
import type { Peer } from "./network.ts";
import { apiKeyPrefix, tokenCharsMax } from "./token-claims.ts";
import type { TokenKey } from "./key-set.ts";
import { createTokenVerifier } from "./token-verifier.ts";

/** Whom tokens must name as issuer, how auth is asked, and how fresh what the bus tells of revocations is. */
export interface AuthenticatorDeps {
  /** The issuer that tokens must name. */
  readonly issuer: string;
  /** The keys that may sign tokens now. Rejects when auth cannot be asked. */
  readonly fetchKeys: () => Promise<readonly TokenKey[]>;
  /** Told of the keys whenever they were fetched, to keep them. Default: nobody. */
  readonly keysFetched?: ((keys: readonly TokenKey[]) => void) | undefined;
  /** Whether tokens of devices and entry passes are taken though revocations may not have been heard, see `TokenVerifierDeps`. Default false. */
  readonly keepsRevocations?: boolean;
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
  /** From now on no token of the session is accepted: its last one was issued until `untilMs`, in milliseconds since 1970. */
  sessionRevoked(sessionId: string, untilMs: number): void;
  /** From now on no token of the device is accepted. */
  deviceRevoked(deviceId: string): void;
  /** From now on no token of the service is accepted that was issued until then, in milliseconds since 1970. */
  serviceWithdrawn(service: string, untilMs: number): void;
  /** From now on the API key is not accepted. */
  apiKeyRevoked(apiKeyId: string): void;
  /** Verifies entry passes, by the keys and the revocations that it knows. */
  readonly entryPasses: EntryPasses;
  /** From now on the entry pass is not accepted, which would have ended at `expireMs`, in milliseconds since 1970. */
  entryPassRevoked(passId: string, expireMs: number): void;
  /**
   * Revocations may not have been heard: API keys are asked for again, and tokens that were issued before are taken for a minute more, and
   * then refused as `unavailable` until `revocationsRead`; not those of devices, nor entry passes, where revocations are kept.
   */
  revocationsMissed(): void;
  /** All revocations of sessions, devices, services and entry passes that still matter have been told. */
  revocationsRead(): void;
  /** Takes keys that an earlier process verified tokens by, unless auth has been asked; they hold until it answers. */
  adoptKeys(keys: readonly TokenKey[]): Promise<void>;
  /** Why no token can be verified, or `undefined`. Fetches the keys when there are none yet. */
  readiness(): Promise<string | undefined>;
  /** What whoever runs the process should know: that services call by tokens that have ended, because auth is away. */
  notice(): string | undefined;
}

/** For so long after a call by a token that had ended, there is a notice of it. */
const lateNoticeMs = 60_000;
/** Services of which such calls are remembered. */
const lateServicesMax = 100;

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
  const lateCalls = metrics.counter({
    name: "identity_late_service_tokens_total",
    help: "Calls of services by a token that had ended, taken because auth is away, by service.",
    labels: ["service"],
  });
  const lateAtMs = new Map<string, number>();
  const tookLate = (service: string): void => {
    lateCalls.add(1, { service });
    if (lateAtMs.size < lateServicesMax || lateAtMs.has(service)) lateAtMs.set(service, clock.monotonic());
  };
  const tokens = createTokenVerifier({ ...deps, refused, tookLate });
  const apiKeys = createApiKeyVerifier({ ...deps, refused });

  return {
    authenticate: (authorization, peer) => {
      if (authorization === null) return anonymous;
      if (authorization.length > tokenCharsMax) throw refused("too long");
      const credential = bearerOf(authorization);
      if (credential === undefined) throw refused("not a bearer");
      return credential.startsWith(apiKeyPrefix) ? apiKeys.callerOf(credential, peer) : tokens.callerOf(credential);
    },
    sessionRevoked: (sessionId, untilMs) => tokens.sessionRevoked(sessionId, untilMs),
    deviceRevoked: (deviceId) => tokens.deviceRevoked(deviceId),
    serviceWithdrawn: (service, untilMs) => tokens.serviceWithdrawn(service, untilMs),
    entryPasses: tokens.entryPasses,
    entryPassRevoked: (passId, expireMs) => tokens.entryPasses.revoked(passId, expireMs),
    revocationsMissed: () => {
      apiKeys.revocationsMissed();
      tokens.revocationsMissed();
    },
    revocationsRead: () => tokens.revocationsRead(),
    apiKeyRevoked: (apiKeyId) => apiKeys.apiKeyRevoked(apiKeyId),
    adoptKeys: (keys) => tokens.adoptKeys(keys),
    readiness: () => tokens.readiness(),
    notice: () => {
      for (const [service, atMs] of lateAtMs) {
        if (clock.monotonic() - atMs >= lateNoticeMs) lateAtMs.delete(service);
      }
      if (lateAtMs.size === 0) return undefined;
      const services = [...lateAtMs.keys()].join(", ");
      return `auth is away: tokens of services that have ended are taken until an hour after their issue (${services})`;
    },
  };
}

/** The scheme is the same in upper and lower case (RFC 9110); nearly everybody writes "Bearer". */
function bearerOf(authorization: string): string | undefined {
  if (authorization.startsWith("Bearer ")) return authorization.slice(7).trim();
  return /^bearer +(\S+)\s*$/i.exec(authorization)?.[1];
}
