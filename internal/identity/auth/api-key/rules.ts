import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { createFailedLookups } from "../../../platform/identity/failed-lookups.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { pageOf } from "../../../platform/resource/page-token.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import { publishApiKeyRevoked, type AuthPublish } from "../events.ts";
import { refusalToActOn, scopesOfCaller } from "../../../platform/resource/caller-scopes.ts";
import { refusalToGive, scopesOfPerson } from "../scope/rules.ts";
import type { ScopeStore } from "../scope/store.ts";
import { makeSecret, secretHashOf } from "./secret.ts";
import type { ApiKey, ApiKeyStore } from "./store.ts";

/** Live keys of an installation. */
const liveKeysMax = 10_000;
/** A key of which nobody says when it ends, ends then. */
const keyLifeMs = 90 * 86_400_000;
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
  /** Milliseconds since 1970; "never" for a key without end. */
  readonly expireTimeMs: number | "never";
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

/** Why nobody gets a key by this caller: they have no account any more, or none that may make keys. */
type OwnerRefusal = Refusal<"apiKeyInvalid" | "userNotFound" | "accountSuspended" | "emailNotVerified">;

/** The rules of API keys. */
export interface ApiKeys {
  /**
   * Makes a key of the caller's, or of the owner's of the key that calls. Without `expireTimeMs` it ends in 90 days. Nobody gives what
   * they do not hold, nor what the owner does not.
   */
  create(
    key: Omit<NewApiKey, "expireTimeMs"> & Partial<NewApiKey>,
    caller: Caller,
    client: ClientInfo,
  ): Promise<MadeApiKey | OwnerRefusal | Refusal<"fieldInvalid" | "scopeMissing" | "tooManyApiKeys">>;
  /** Live keys; with `showEnded` all. */
  list(request: {
    readonly pageSize: number;
    readonly pageToken: string;
    readonly showEnded: boolean;
  }): Promise<ApiKeyPage>;
  /**
   * Ends a key; one that was revoked stays so. Its owner may always. Another key of the owner's needs the scopes that it gives, and anybody
   * else those that the owner holds.
   */
  revoke(
    apiKeyId: string,
    caller: Caller,
    client: ClientInfo,
  ): Promise<Refusal<"apiKeyNotFound" | "personHoldsMore"> | undefined>;
  /**
   * The live key with this hash of its secret, with those of its scopes that its owner holds. Marks it as used. Hashes that are nobody's are looked up for each `asker` within a
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
  readonly accounts: Pick<AccountStore, "find" | "lock">;
  readonly scopes: Pick<ScopeStore, "find">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): ApiKeys {
  const { database, store, clock, log } = deps;
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
    create: (key, caller, client) => createKey(deps, key, caller, client),

    list: ({ showEnded, ...page }) =>
      pageOf(
        ["ListApiKeys", showEnded],
        page,
        (beforeId, limit) => store.list(database.sql, { beforeId, withEnded: showEnded, nowMs: clock.now() }, limit),
        (key) => key.apiKeyId,
        isUuid,
      ),

    revoke: async (apiKeyId, caller, client) => {
      if (!isUuid(apiKeyId)) return refuse("apiKeyNotFound");
      return database.transaction(async (tx) => {
        const key = await store.lock(tx, apiKeyId);
        if (key === undefined) return refuse("apiKeyNotFound");
        const held = (await scopesOfPerson(deps.scopes, tx, key.ownerId)).scopes;
        const isSibling =
          caller.kind === "api_key" && isUuid(caller.id) && (await store.ownerOf(tx, caller.id)) === key.ownerId;
        const needed = isSibling ? key.scopes.filter((scope) => held.includes(scope)) : held;
        const excess = refusalToActOn(caller, key.ownerId, needed);
        if (excess !== undefined) return excess;
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

/** Makes a key for a caller, as `ApiKeys.create` says. */
async function createKey(
  deps: Parameters<typeof createApiKeys>[0],
  key: Parameters<ApiKeys["create"]>[0],
  caller: Caller,
  client: ClientInfo,
): ReturnType<ApiKeys["create"]> {
  const { database, store, scopes, clock } = deps;
  const refusal = refusalToGive(key.scopes, scopesOfCaller(caller));
  if (refusal !== undefined) return refusal;
  const { expireTimeMs = clock.now() + keyLifeMs } = key;
  if (expireTimeMs !== "never" && expireTimeMs <= clock.now()) {
    return refuseField("expire_time", "must be in the future");
  }
  return database.transaction(async (tx) => {
    await takeLock(tx, "muin auth api keys");
    const ownerId = await lockOwner(tx, deps, caller);
    if (isRefusal(ownerId)) return ownerId;
    const held = new Set((await scopesOfPerson(scopes, tx, ownerId)).scopes);
    const excess = refusalToGive(key.scopes, held);
    if (excess !== undefined) return excess;
    if ((await store.countLive(tx, clock.now())) >= liveKeysMax) {
      return refuse("tooManyApiKeys", { max: String(liveKeysMax) });
    }
    return addApiKey(tx, deps, { ...key, expireTimeMs, ownerId }, client);
  });
}

/** The id of whose key it will be that a caller makes. From here on they are neither suspended nor deleted until the transaction ends. */
async function lockOwner(
  tx: Transaction,
  deps: { readonly store: Pick<ApiKeyStore, "ownerOf">; readonly accounts: Pick<AccountStore, "lock"> },
  caller: Caller,
): Promise<string | OwnerRefusal> {
  if (caller.kind !== "person" && caller.kind !== "api_key") return refuse("userNotFound");
  if (!isUuid(caller.id)) return refuse("userNotFound");
  const ownerId = caller.kind === "person" ? caller.id : await deps.store.ownerOf(tx, caller.id);
  if (ownerId === undefined) return refuse("apiKeyInvalid"); // The key has just gone with its owner.
  const owner = await deps.accounts.lock(tx, ownerId);
  if (owner === undefined) return refuse("userNotFound");
  if (owner.isSuspended) return refuse("accountSuspended");
  return owner.isEmailVerified ? ownerId : refuse("emailNotVerified");
}

/** Finds the live key of a secret. Secrets that are nobody's are looked up for each `asker` within a bound. */
function createLookup({
  database,
  store,
  accounts,
  scopes,
  clock,
}: {
  readonly database: Database;
  readonly store: Pick<ApiKeyStore, "findBySecretHash">;
  readonly accounts: Pick<AccountStore, "find">;
  readonly scopes: Pick<ScopeStore, "find">;
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
    if (key === undefined || !isLive) return refuse("apiKeyInvalid");
    const owner = await accounts.find(database.sql, key.ownerId);
    if (owner === undefined || owner.isSuspended || !owner.isEmailVerified) return refuse("apiKeyInvalid");
    const held = (await scopesOfPerson(scopes, database.sql, key.ownerId)).scopes;
    return { ...key, scopes: key.scopes.filter((scope) => held.includes(scope)) };
  };
}

/** Adds a key with a new secret. `managedName` marks one that the installation makes for itself. Its owner's account must be locked by `tx`. */
export async function addApiKey(
  tx: Transaction,
  deps: {
    readonly store: Pick<ApiKeyStore, "insert">;
    readonly audit: Pick<AuditStore, "append">;
    readonly clock: Clock;
    readonly random: Random;
  },
  key: NewApiKey & { readonly ownerId: string; readonly managedName?: string },
  client: ClientInfo,
): Promise<MadeApiKey> {
  const { store, audit, clock, random } = deps;
  const apiKeyId = random.uuid();
  const secret = makeSecret(random);
  const createTimeMs = clock.now();
  const { ownerId, displayName, managedName } = key;
  const scopes = [...new Set(key.scopes)];
  const secretHash = secretHashOf(secret);
  const expireTimeMs = key.expireTimeMs === "never" ? undefined : key.expireTimeMs;
  const row = { apiKeyId, ownerId, displayName, scopes, secretHash, managedName, createTimeMs, expireTimeMs };
  const apiKey = await store.insert(tx, row);
  const act = { action: "CREATE_API_KEY", outcome: "DONE", client, subject: `api_key:${apiKeyId}` } as const;
  await audit.append(tx, { ...act, detail: scopes.join(" ") }, createTimeMs);
  return { apiKey, secret };
}

/** Where keys end: their rows, the events and the records that tell of it, and the time. */
export interface EndApiKeyDeps {
  readonly store: Pick<ApiKeyStore, "revoke">;
  readonly audit: Pick<AuditStore, "append">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
}

/** Revokes all keys of an owner that are not revoked yet, each with its event. The owner's account must be locked by `tx`. */
export async function endApiKeysOf(
  tx: Transaction,
  deps: EndApiKeyDeps & { readonly store: Pick<ApiKeyStore, "lockOfOwner"> },
  ownerId: string,
  client: ClientInfo,
): Promise<void> {
  for (const apiKeyId of await deps.store.lockOfOwner(tx, ownerId)) await endApiKey(tx, deps, apiKeyId, client);
}

/** Revokes a key that is not revoked yet, with its event. The key's row must be locked by `tx`. */
export async function endApiKey(
  tx: Transaction,
  deps: EndApiKeyDeps,
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
