import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import { createFailedLookups } from "../../../platform/identity/failed-lookups.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { unprovenRefusal } from "../account/proven.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import { publishApiKeyRevoked, type AuthPublish } from "../events.ts";
import { refusalToGive } from "../scope/rules.ts";
import { makeSecret, secretHashOf } from "./secret.ts";
import type { ApiKey, ApiKeyStore } from "./store.ts";

/** Live keys of an installation. */
const liveKeysMax = 10_000;
/** Last uses are written together, this often. */
const writeUsesMs = 30_000;
const minuteMs = 60_000;
/** Look-ups of a service that find nobody: each of its processes bounds those of a network, this bounds all of them together. */
const failedLookups = { failuresMax: 3000, windowMs: minuteMs, reservedEveryMs: 100, subjectsMax: 1000 } as const;
/** Secrets that were found and are looked up without bound; twice the live keys. */
const foundMax = 20_000;

/** What a key is made of. */
export interface NewApiKey {
  readonly displayName: string;
  readonly scopes: readonly string[];
  /** Milliseconds since 1970; `undefined` for a key without end. */
  readonly expireTimeMs: number | undefined;
}

/** A key that was just made: its secret is shown this once. */
export interface MadeApiKey {
  readonly apiKey: ApiKey;
  readonly secret: string;
}

/** A page of keys, newest first. */
export interface ApiKeyPage {
  readonly page: readonly ApiKey[];
  /** Empty on the last page. */
  readonly nextPageToken: string;
}

/** The rules of API keys. */
export interface ApiKeys {
  /** Makes a key. `held` are the scopes of who asks: nobody gives what they do not hold. */
  create(
    key: NewApiKey,
    held: ReadonlySet<string>,
    client: ClientInfo,
  ): Promise<MadeApiKey | Refusal<"fieldInvalid" | "scopeMissing" | "emailNotVerified" | "tooManyApiKeys">>;
  /** Live keys; with `showEnded` all. */
  list(request: {
    readonly pageSize: number;
    readonly pageToken: string;
    readonly showEnded: boolean;
  }): Promise<ApiKeyPage>;
  /** Ends a key; one that was revoked stays so. */
  revoke(apiKeyId: string, client: ClientInfo): Promise<Refusal<"apiKeyNotFound"> | undefined>;
  /**
   * The live key with this hash of its secret. Marks it as used. Hashes that are nobody's are looked up for each `asker` within a
   * bound; one that was found before always is.
   */
  verify(secretHash: Uint8Array, asker: string): Promise<ApiKey | Refusal<"apiKeyInvalid" | "tooManyFailedKeys">>;
  /** Writes the last uses that `verify` marked. */
  readonly useWriter: Component;
}

/** The API keys of a database. */
export function createApiKeys(deps: {
  readonly database: Database;
  readonly store: ApiKeyStore;
  readonly accounts: Pick<AccountStore, "find">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): ApiKeys {
  const { database, store, accounts, clock, log } = deps;
  /** When keys were used since the last write, to the minute. At most one entry per live key. */
  let used = new Map<string, number>();
  const findLive = createLookup(deps);

  const writeUses = async (): Promise<void> => {
    const writing = used;
    used = new Map();
    try {
      for (const [apiKeyId, useTimeMs] of writing) await store.markUsed(database.sql, apiKeyId, useTimeMs);
    } catch (error) {
      // Later marks win; what could not be written waits for the next time.
      used = new Map([...writing, ...used]);
      throw error;
    }
  };

  return {
    create: async (key, held, client) => {
      const refusal = refusalToGive(key.scopes, held) ?? (await unprovenRefusal(accounts, database.sql, client));
      if (refusal !== undefined) return refusal;
      if (key.expireTimeMs !== undefined && key.expireTimeMs <= clock.now()) {
        return refuseField("expire_time", "must be in the future");
      }
      return database.transaction(async (tx) => {
        await takeLock(tx, "muin auth api keys");
        if ((await store.countLive(tx, clock.now())) >= liveKeysMax) {
          return refuse("tooManyApiKeys", { max: String(liveKeysMax) });
        }
        return addApiKey(tx, deps, key, undefined, client);
      });
    },

    list: ({ showEnded, ...page }) =>
      pageOf(
        ["ListApiKeys", showEnded],
        page,
        (beforeId, limit) => store.list(database.sql, { beforeId, withEnded: showEnded, nowMs: clock.now() }, limit),
        (key) => key.apiKeyId,
        isUuid,
      ),

    revoke: async (apiKeyId, client) => {
      if (!isUuid(apiKeyId)) return refuse("apiKeyNotFound");
      return database.transaction(async (tx) => {
        const key = await store.lock(tx, apiKeyId);
        if (key === undefined) return refuse("apiKeyNotFound");
        if (key.revokeTimeMs === undefined) await endApiKey(tx, deps, apiKeyId, client);
        return undefined;
      });
    },

    verify: async (secretHash, asker) => {
      const key = await findLive(secretHash, asker);
      if (isRefusal(key)) return key;
      used.set(key.apiKeyId, Math.floor(clock.now() / minuteMs) * minuteMs);
      return key;
    },

    useWriter: createLoop({
      name: "auth api key uses",
      everyMs: writeUsesMs,
      atStop: true,
      clock,
      work: writeUses,
      onFailure: (error) => log.warn("last uses of API keys could not be written", { err: error }),
    }),
  };
}

/** Finds the live key of a secret. Secrets that are nobody's are looked up for each `asker` within a bound. */
function createLookup({
  database,
  store,
  clock,
}: {
  readonly database: Database;
  readonly store: Pick<ApiKeyStore, "findBySecretHash">;
  readonly clock: Clock;
}): (secretHash: Uint8Array, asker: string) => ReturnType<ApiKeys["verify"]> {
  const failures = createFailedLookups({ ...failedLookups, clock });
  /** Hashes of secrets that are somebody's. */
  const found = createLruMap<true>(foundMax);
  return async (secretHash, asker) => {
    const hash = secretHash.toBase64();
    const isKnown = found.get(hash) !== undefined;
    if (!isKnown && !failures.charge(asker)) return refuse("tooManyFailedKeys");
    const key = await store.findBySecretHash(database.sql, secretHash);
    if (key !== undefined && !isKnown) {
      failures.forgive(asker);
      found.set(hash, true);
    }
    const isLive = key?.revokeTimeMs === undefined && clock.now() < (key?.expireTimeMs ?? Infinity);
    return key !== undefined && isLive ? key : refuse("apiKeyInvalid");
  };
}

/** Adds a key with a new secret. `managedName` marks one that the installation makes for itself. */
export async function addApiKey(
  tx: Transaction,
  deps: {
    readonly store: Pick<ApiKeyStore, "insert">;
    readonly audit: Pick<AuditStore, "append">;
    readonly clock: Clock;
    readonly random: Random;
  },
  { displayName, scopes: given, expireTimeMs }: NewApiKey,
  managedName: string | undefined,
  client: ClientInfo,
): Promise<MadeApiKey> {
  const { store, audit, clock, random } = deps;
  const apiKeyId = random.uuid();
  const secret = makeSecret(random);
  const createTimeMs = clock.now();
  const scopes = [...new Set(given)];
  const secretHash = secretHashOf(secret);
  const row = { apiKeyId, displayName, scopes, secretHash, managedName, createTimeMs, expireTimeMs };
  const apiKey = await store.insert(tx, row);
  const act = { action: "CREATE_API_KEY", outcome: "DONE", client, subject: `api_key:${apiKeyId}` } as const;
  await audit.append(tx, { ...act, detail: scopes.join(" ") }, createTimeMs);
  return { apiKey, secret };
}

/** Revokes a key that is not revoked yet, with its event. The key's row must be locked by `tx`. */
export async function endApiKey(
  tx: Transaction,
  deps: {
    readonly store: Pick<ApiKeyStore, "revoke">;
    readonly audit: Pick<AuditStore, "append">;
    readonly publish: AuthPublish;
    readonly clock: Clock;
  },
  apiKeyId: string,
  client: ClientInfo,
): Promise<void> {
  const { store, audit, publish, clock } = deps;
  const nowMs = clock.now();
  const version = await store.revoke(tx, apiKeyId, nowMs);
  await publishApiKeyRevoked(tx, publish, apiKeyId, version, nowMs);
  const act = { action: "REVOKE_API_KEY", outcome: "DONE", client, subject: `api_key:${apiKeyId}` } as const;
  await audit.append(tx, act, nowMs);
}
