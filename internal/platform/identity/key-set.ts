import type { Clock } from "../clock/clock.ts";
import type { MuinError } from "../errors/muin-error.ts";
import type { Logger } from "../telemetry/logger.ts";
import { identityErrors } from "./errors.ts";

/** An Ed25519 public key as a JSON Web Key (RFC 8037). */
export interface TokenKey {
  readonly kty: string;
  readonly crv: string;
  readonly x: string;
  readonly kid: string;
}

/** The keys of auth: fetched when one is missing, fetched anew while they are used, kept while auth is away. */
export interface KeySet {
  /** The key of this id. Rejects with MuinError when auth does not name it, or cannot be asked. */
  get(keyId: string): Promise<CryptoKey>;
  /** Whether auth named this key when it was last asked. */
  has(keyId: string): boolean;
  /** Has keys that are not fresh fetched anew, beside the call. */
  keepFresh(): void;
  /** Whether auth could not be asked for its keys just now; asks where that is not known. */
  isAway(): boolean | Promise<boolean>;
  /** Takes keys that an earlier process verified tokens by, unless auth has been asked; they hold until it answers. */
  adopt(keys: readonly TokenKey[]): Promise<void>;
  /** Why there is no key, or `undefined`. Fetches the keys when there are none yet. */
  readiness(): Promise<string | undefined>;
}

/** Keys are fetched again no sooner than this, whatever tokens come; sooner when auth did not answer. */
const keysAskIntervalMs = 3000;
const keysRetryMs = 500;
/** Keys older than this are fetched anew, so that tokens of a withdrawn one are refused within half a minute. */
const keysFreshMs = 20_000;
/** Keys that are taken from one answer. */
const keysMax = 64;

/** The keys among them that can verify tokens, by their ids. */
async function importKeys(given: readonly TokenKey[]): Promise<ReadonlyMap<string, CryptoKey>> {
  const keys = new Map<string, CryptoKey>();
  for (const { kty, crv, x, kid } of given.slice(0, keysMax)) {
    if (kty !== "OKP" || crv !== "Ed25519" || kid === "") continue;
    keys.set(kid, await crypto.subtle.importKey("jwk", { kty, crv, x }, "Ed25519", false, ["verify"]));
  }
  return keys;
}

/** A set that has no key yet. */
export function createKeySet(deps: {
  /** The keys that may sign now. Rejects when auth cannot be asked. */
  readonly fetchKeys: () => Promise<readonly TokenKey[]>;
  /** Told of the keys whenever they were fetched. Default: nobody. */
  readonly keysFetched?: ((keys: readonly TokenKey[]) => void) | undefined;
  readonly refused: (why: string) => MuinError;
  readonly clock: Pick<Clock, "monotonic">;
  readonly log: Logger;
}): KeySet {
  const { fetchKeys, refused, clock, log } = deps;
  let keys: ReadonlyMap<string, CryptoKey> = new Map();
  let askedAtMs = Number.NEGATIVE_INFINITY;
  let failure: unknown;
  let asking: Promise<void> | undefined;

  const fetchAll = async (): Promise<void> => {
    try {
      const answer = await fetchKeys();
      const fetched = await importKeys(answer);
      if (fetched.size === 0) throw new Error("auth named no key that verifies tokens");
      keys = fetched;
      failure = undefined;
      deps.keysFetched?.(answer.slice(0, keysMax).map(({ kty, crv, x, kid }) => ({ kty, crv, x, kid })));
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

  const keepFresh = (): void => {
    if (failure !== undefined || clock.monotonic() - askedAtMs > keysFreshMs) void refresh();
  };

  return {
    get: async (keyId) => {
      const known = keys.get(keyId);
      if (known !== undefined) {
        keepFresh();
        return known;
      }
      await refresh();
      const fetched = keys.get(keyId);
      if (fetched !== undefined) return fetched;
      if (failure === undefined) throw refused("unknown key id");
      throw identityErrors.tokensUnavailable({ cause: failure });
    },
    has: (keyId) => keys.has(keyId),
    keepFresh,
    isAway: () => {
      const isRecent = clock.monotonic() - askedAtMs < keysAskIntervalMs;
      // While it is asked again, what the last answer said holds.
      if (isRecent && (asking === undefined || failure !== undefined)) return failure !== undefined;
      return (refresh() ?? Promise.resolve()).then(() => failure !== undefined);
    },
    adopt: async (given) => {
      const adopted = await importKeys(given);
      if (keys.size === 0) keys = adopted;
    },
    readiness: async () => {
      if (keys.size === 0) await refresh();
      else keepFresh();
      return keys.size === 0 ? "the keys that verify tokens could not be fetched from auth" : undefined;
    },
  };
}
