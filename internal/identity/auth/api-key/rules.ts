import { createHash } from "node:crypto";
import type { Component } from "../../../platform/lifecycle/component.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { apiKeyPrefix } from "../../../platform/identity/token-claims.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { recordAct } from "../audit/log.ts";
import type { ClientInfo } from "../audit/client.ts";
import { apiKeyNotFound, badApiKey, invalidField, tooManyApiKeys } from "../errors.ts";
import { publishApiKeyRevoked, type AuthPublish } from "../events.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import { checkScopes } from "../scope/rules.ts";

const secretBytes = 32;
/** Live keys of an installation. */
const liveKeysMax = 10_000;
/** Last uses are written together, this often. */
const writeUsesMs = 30_000;
const minuteMs = 60_000;

/** A key, without its secret. */
export interface ApiKey {
  readonly apiKeyId: string;
  readonly displayName: string;
  readonly scopes: readonly string[];
  readonly createTimeMs: number;
  readonly expireTimeMs: number | undefined;
  readonly useTimeMs: number | undefined;
  readonly revokeTimeMs: number | undefined;
}

/** What a key is made of. */
export interface NewApiKey {
  readonly displayName: string;
  readonly scopes: readonly string[];
  readonly expireTimeMs: number | undefined;
}

/** The rules of API keys. */
export interface ApiKeys {
  /** Makes a key. `held` are the scopes of who asks: nobody gives what they do not hold. */
  create(
    key: NewApiKey,
    held: ReadonlySet<string>,
    client: ClientInfo,
  ): Promise<{ readonly apiKey: ApiKey; readonly secret: string }>;
  /** Keys, newest first, those before `beforeId` when it is given. */
  list(pageSize: number, beforeId: string | undefined, withEnded: boolean): Promise<readonly ApiKey[]>;
  /** Ends a key; one that was revoked stays so. */
  revoke(apiKeyId: string, client: ClientInfo): Promise<void>;
  /** The live key with this hash of its secret; UNAUTHENTICATED without one. Marks it as used. */
  verify(secretHash: Uint8Array): Promise<ApiKey>;
  /** Writes the last uses that `verify` marked. */
  readonly useWriter: Component;
}

/** Makes the rules. */
export function createApiKeys(deps: {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): ApiKeys {
  const { database, publish, clock, random, log } = deps;
  /** When keys were used since the last write, to the minute. At most one entry per live key. */
  let used = new Map<string, number>();

  const writeUses = async (): Promise<void> => {
    const writing = used;
    used = new Map();
    try {
      for (const [apiKeyId, useTimeMs] of writing) {
        await database.sql`
          UPDATE api_keys SET use_time = greatest(use_time, ${new Date(useTimeMs)}) WHERE api_key_id = ${apiKeyId}`;
      }
    } catch (error) {
      // Later marks win; what could not be written waits for the next time.
      used = new Map([...writing, ...used]);
      throw error;
    }
  };

  return {
    create: async (key, held, client) => {
      checkScopes(key.scopes, held);
      if (key.expireTimeMs !== undefined && key.expireTimeMs <= clock.now()) {
        throw invalidField("expire_time", "must be in the future");
      }
      return database.transaction(async (tx) => {
        await tx`SELECT pg_advisory_xact_lock(hashtext('muin auth api keys'))`;
        const [live] = await tx<{ count: string }[]>`
          SELECT count(*) FROM api_keys
          WHERE revoke_time IS NULL AND (expire_time IS NULL OR expire_time > ${new Date(clock.now())})`;
        if (Number(live?.count) >= liveKeysMax) throw tooManyApiKeys(liveKeysMax);
        return insertApiKey(tx, { clock, random }, key, undefined, client);
      });
    },
    list: async (pageSize, beforeId, withEnded) => {
      const rows = await database.sql<Row[]>`
        SELECT * FROM api_keys
        WHERE api_key_id < coalesce(${beforeId ?? null}::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
          AND (${withEnded} OR (revoke_time IS NULL AND (expire_time IS NULL OR expire_time > ${new Date(clock.now())})))
        ORDER BY api_key_id DESC LIMIT ${pageSize}`;
      return rows.map(apiKeyOf);
    },
    revoke: (apiKeyId, client) =>
      database.transaction(async (tx) => {
        if (!(await revokeApiKey(tx, { publish, clock }, apiKeyId, client))) throw apiKeyNotFound();
      }),
    verify: async (secretHash) => {
      const [row] = await database.sql<Row[]>`SELECT * FROM api_keys WHERE secret_hash = ${secretHash}`;
      const nowMs = clock.now();
      const key = row && apiKeyOf(row);
      if (key === undefined || key.revokeTimeMs !== undefined || nowMs >= (key.expireTimeMs ?? Infinity)) {
        throw badApiKey();
      }
      used.set(key.apiKeyId, Math.floor(nowMs / minuteMs) * minuteMs);
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

/** Adds a key with a new secret. `managedName` marks one that the installation makes for itself. */
export async function insertApiKey(
  tx: Transaction,
  deps: { readonly clock: Clock; readonly random: Random },
  key: NewApiKey,
  managedName: string | undefined,
  client: ClientInfo,
): Promise<{ readonly apiKey: ApiKey; readonly secret: string }> {
  const apiKeyId = deps.random.uuid();
  const secret = `${apiKeyPrefix}${Buffer.from(deps.random.bytes(secretBytes)).toString("base64url")}`;
  const nowMs = deps.clock.now();
  const scopes = [...new Set(key.scopes)];
  const [row] = await tx<Row[]>`
    INSERT INTO api_keys
      (api_key_id, display_name, scopes, secret_hash, managed_name, version, create_time, expire_time)
    VALUES (${apiKeyId}, ${key.displayName}, ${scopes}::text[], ${secretHashOf(secret)}, ${managedName ?? null}, 1,
      ${new Date(nowMs)}, ${key.expireTimeMs === undefined ? null : new Date(key.expireTimeMs)})
    RETURNING *`;
  if (row === undefined) throw new Error("the key was not stored");
  const subject = `api_key:${apiKeyId}`;
  await recordAct(tx, { action: "CREATE_API_KEY", outcome: "DONE", client, subject, detail: scopes.join(" ") }, nowMs);
  return { apiKey: apiKeyOf(row), secret };
}

/** Revokes a key that is not revoked yet. False when there is none of this id. */
export async function revokeApiKey(
  tx: Transaction,
  deps: { readonly publish: AuthPublish; readonly clock: Clock },
  apiKeyId: string,
  client: ClientInfo,
): Promise<boolean> {
  const [found] = await tx<{ revoke_time: Date | null }[]>`
    SELECT revoke_time FROM api_keys WHERE api_key_id = ${apiKeyId} FOR UPDATE`;
  if (found === undefined) return false;
  if (found.revoke_time !== null) return true;
  const nowMs = deps.clock.now();
  const [row] = await tx<{ version: string }[]>`
    UPDATE api_keys SET revoke_time = ${new Date(nowMs)}, version = version + 1
    WHERE api_key_id = ${apiKeyId} RETURNING version`;
  await publishApiKeyRevoked(tx, deps.publish, apiKeyId, BigInt(row?.version ?? 0), nowMs);
  await recordAct(tx, { action: "REVOKE_API_KEY", outcome: "DONE", client, subject: `api_key:${apiKeyId}` }, nowMs);
  return true;
}

/** What of a secret is stored and compared: SHA-256 of its whole text. */
export function secretHashOf(secret: string): Uint8Array {
  return new Uint8Array(createHash("sha256").update(secret).digest());
}

interface Row {
  readonly api_key_id: string;
  readonly display_name: string;
  readonly scopes: string[];
  readonly create_time: Date;
  readonly expire_time: Date | null;
  readonly use_time: Date | null;
  readonly revoke_time: Date | null;
}

function apiKeyOf(row: Row): ApiKey {
  return {
    apiKeyId: row.api_key_id,
    displayName: row.display_name,
    scopes: row.scopes,
    createTimeMs: row.create_time.getTime(),
    expireTimeMs: row.expire_time?.getTime(),
    useTimeMs: row.use_time?.getTime(),
    revokeTimeMs: row.revoke_time?.getTime(),
  };
}
