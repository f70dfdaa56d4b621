import { calculateJwkThumbprint } from "jose";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { accessTokenLifeMsMax } from "../../../platform/identity/token-claims.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { authItself, recordAct } from "../audit/log.ts";
import type { AuthConfig } from "../config.ts";
import type { Vault } from "../secret/vault.ts";

/** The keys are read again after this; far less than the time for which a key is published before it signs. */
const cacheMs = 30_000;
/** Keys stay published this much longer than their tokens live, for clocks that differ. */
const skewMs = 5 * 60_000;
const problemMsMax = 900;
const seedBytes = 32;
/** DER of an Ed25519 private key in PKCS #8 (RFC 8410), up to the seed. */
const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");

/** An Ed25519 key as the database has it. */
export interface SigningKey {
  readonly kid: string;
  readonly publicKey: Uint8Array;
  readonly seedSealed: Uint8Array;
  readonly signTimeMs: number;
  /** End of the longest-lived service token that it signed. */
  readonly tokenExpireTimeMs: number;
}

/** What is to happen with the keys. */
export interface SigningKeyPlan {
  /** The one that signs now. */
  readonly active: SigningKey | undefined;
  /** Those that may sign soon, sign now, or signed a token that may still be good. */
  readonly published: readonly SigningKey[];
  /** Set when a key must be made: when it begins to sign. */
  readonly createSignTimeMs: number | undefined;
}

/**
 * Plans rotation. `keys` in the order of their sign times. A key signs from its sign time until the next one's. The next is made
 * `signingKeyAheadMs` before it signs, so that every verifier has read it; the very first signs at once.
 */
export function planSigningKeys(
  keys: readonly SigningKey[],
  nowMs: number,
  policy: Pick<AuthConfig, "signingKeyLifeMs" | "signingKeyAheadMs">,
): SigningKeyPlan {
  const last = keys.at(-1);
  if (last === undefined) return { active: undefined, published: [], createSignTimeMs: nowMs };
  // A clock that was set back may find every key in its future: the first then signs.
  const active = keys.findLast((key) => key.signTimeMs <= nowMs) ?? keys[0];
  const published = keys.filter((key, index) => {
    const signEndMs = keys[index + 1]?.signTimeMs ?? Number.POSITIVE_INFINITY;
    const tokensEndMs = Math.max(signEndMs + accessTokenLifeMsMax, key.tokenExpireTimeMs);
    return nowMs < tokensEndMs + skewMs;
  });
  const endMs = last.signTimeMs + policy.signingKeyLifeMs;
  const due = nowMs >= endMs - policy.signingKeyAheadMs;
  return {
    active,
    published,
    createSignTimeMs: due ? Math.max(endMs, nowMs + policy.signingKeyAheadMs) : undefined,
  };
}

/** The installation's signing keys. */
export interface SigningKeys {
  /** The key that signs now. */
  active(): Promise<{ readonly kid: string; readonly privateKey: CryptoKey }>;
  /** The public keys that verify tokens, oldest first. */
  published(): Promise<readonly { readonly kid: string; readonly publicKey: Uint8Array }[]>;
  /** Promises that the key stays published until tokens that end at `expireTimeMs` have ended. False when it is gone. */
  keepUntil(kid: string, expireTimeMs: number): Promise<boolean>;
  /** Why no token can be signed, or `undefined`. Answers within a second. */
  problem(): Promise<string | undefined>;
  /** Removes keys that are no longer published. */
  prune(tx: Transaction): Promise<void>;
}

/** Reads the keys when they are asked for and makes the next one when it is due, under a lock over all processes. */
export function createSigningKeys(deps: {
  readonly database: Database;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<AuthConfig, "signingKeyLifeMs" | "signingKeyAheadMs">;
}): SigningKeys {
  const { database, vault, clock, random, config } = deps;
  const privateKeys = new Map<string, CryptoKey>();
  let keys: readonly SigningKey[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  const read = async (): Promise<void> => {
    let found = await selectKeys(database.sql);
    if (planSigningKeys(found, clock.now(), config).createSignTimeMs !== undefined) {
      found = await database.transaction(async (tx) => {
        await tx`SELECT pg_advisory_xact_lock(hashtext('muin auth signing keys'))`;
        const current = await selectKeys(tx);
        const { createSignTimeMs } = planSigningKeys(current, clock.now(), config);
        if (createSignTimeMs === undefined) return current; // Another process made it.
        await insertKey(tx, createSignTimeMs);
        return selectKeys(tx);
      });
    }
    keys = found;
    readAtMs = clock.monotonic();
  };
  const insertKey = async (tx: Transaction, signTimeMs: number): Promise<void> => {
    const seed = random.bytes(seedBytes);
    const pair = await importSeed(seed, true);
    const { x = "" } = await crypto.subtle.exportKey("jwk", pair);
    const kid = await calculateJwkThumbprint({ kty: "OKP", crv: "Ed25519", x });
    const nowMs = clock.now();
    await tx`
      INSERT INTO signing_keys (kid, public_key, seed_sealed, create_time, sign_time, token_expire_time)
      VALUES (${kid}, ${Buffer.from(x, "base64url")}, ${vault.seal("signing-key", kid, seed)},
        ${new Date(nowMs)}, ${new Date(signTimeMs)}, ${new Date(0)})`;
    await recordAct(
      tx,
      { action: "CREATE_SIGNING_KEY", outcome: "DONE", client: authItself, subject: `signing_key:${kid}` },
      nowMs,
    );
  };
  const plan = async (): Promise<SigningKeyPlan> => {
    if (clock.monotonic() - readAtMs >= cacheMs) {
      try {
        await (reading ??= read().finally(() => (reading = undefined)));
      } catch (error) {
        // Without the database the keys that are known go on: what they verify is as good as before.
        if (keys.length === 0) throw error;
      }
    }
    return planSigningKeys(keys, clock.now(), config);
  };

  const activeKey = async (): Promise<{ readonly kid: string; readonly privateKey: CryptoKey }> => {
    const { active } = await plan();
    if (active === undefined) throw new Error("there is no signing key");
    const { kid } = active;
    let privateKey = privateKeys.get(kid);
    if (privateKey === undefined) {
      privateKey = await importSeed(vault.open("signing-key", kid, active.seedSealed), false);
      privateKeys.clear(); // Only one signs at a time.
      privateKeys.set(kid, privateKey);
    }
    return { kid, privateKey };
  };

  return {
    active: activeKey,
    published: async () => (await plan()).published,
    keepUntil: async (kid, expireTimeMs) => {
      const rows = await database.sql`
        UPDATE signing_keys SET token_expire_time = greatest(token_expire_time, ${new Date(expireTimeMs)})
        WHERE kid = ${kid} RETURNING kid`;
      return rows.length > 0;
    },
    problem: async () => {
      const answered = new AbortController();
      const late = clock.sleep(problemMsMax, answered.signal).then(() => "the signing key cannot be read in time");
      try {
        return await Promise.race([activeKey().then(() => undefined), late]);
      } catch (error) {
        return error instanceof MuinError
          ? `the signing key cannot be read: ${error.message}`
          : "the signing key cannot be opened: the key-encryption secret is not the one that it was written with";
      } finally {
        answered.abort();
      }
    },
    prune: async (tx) => {
      const found = await selectKeys(tx);
      const kept = new Set(planSigningKeys(found, clock.now(), config).published.map((key) => key.kid));
      for (const { kid } of found.filter((key) => !kept.has(key.kid)))
        await tx`DELETE FROM signing_keys WHERE kid = ${kid}`;
    },
  };
}

async function selectKeys(sql: Database["sql"] | Transaction): Promise<SigningKey[]> {
  const rows = await sql<
    { kid: string; public_key: Uint8Array; seed_sealed: Uint8Array; sign_time: Date; token_expire_time: Date }[]
  >`SELECT kid, public_key, seed_sealed, sign_time, token_expire_time FROM signing_keys ORDER BY sign_time, kid`;
  return rows.map((row) => ({
    kid: row.kid,
    publicKey: row.public_key,
    seedSealed: row.seed_sealed,
    signTimeMs: row.sign_time.getTime(),
    tokenExpireTimeMs: row.token_expire_time.getTime(),
  }));
}

function importSeed(seed: Uint8Array, extractable: boolean): Promise<CryptoKey> {
  return crypto.subtle.importKey("pkcs8", Buffer.concat([pkcs8Head, seed]), "Ed25519", extractable, ["sign"]);
}
