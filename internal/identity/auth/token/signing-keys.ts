import { calculateJwkThumbprint } from "jose";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { timeout, TimeoutError } from "../../../platform/lifecycle/timeout.ts";
import { tokenAheadMsMax } from "../../../platform/identity/token-claims.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { authItself } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import type { AuthConfig } from "../config.ts";
import type { Vault } from "../secret/vault.ts";
import { planSigningKeys, type SigningKeyPlan } from "./key-plan.ts";
import type { SigningKey, SigningKeyStore } from "./store.ts";

/** The keys are read again after this; far less than the time for which a key is published before it signs. */
const cacheMs = 30_000;
const problemMsMax = 900;
const seedBytes = 32;
/** DER of an Ed25519 private key in PKCS #8 (RFC 8410), up to the seed. */
const pkcs8Head = Buffer.from("302e020100300506032b657004220420", "hex");

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
  /** Removes keys that were no longer published a day ago: this clock may be ahead, and what they signed be good once it is put back. */
  prune(tx: Transaction): Promise<void>;
}

/** Reads the keys when they are asked for and makes the next one when it is due, under a lock over all processes. */
export function createSigningKeys(deps: {
  readonly database: Database;
  readonly store: SigningKeyStore;
  readonly audit: Pick<AuditStore, "append">;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
  readonly config: Pick<AuthConfig, "signingKeyLifeMs" | "signingKeyAheadMs">;
}): SigningKeys {
  const { database, store, audit, vault, clock, random, config } = deps;
  const privateKeys = new Map<string, CryptoKey>();
  let keys: readonly SigningKey[] = [];
  let readAtMs = Number.NEGATIVE_INFINITY;
  let reading: Promise<void> | undefined;

  const read = async (): Promise<void> => {
    let found = await store.list(database.sql);
    if (planSigningKeys(found, clock.now(), config).createSignTimeMs !== undefined) {
      found = await database.transaction(async (tx) => {
        await takeLock(tx, "muin auth signing keys");
        const current = await store.list(tx);
        const { createSignTimeMs } = planSigningKeys(current, clock.now(), config);
        if (createSignTimeMs === undefined) return current; // Another process made it.
        const key = await makeSigningKey(vault, random, createSignTimeMs);
        await store.insert(tx, key, clock.now());
        const act = { action: "CREATE_SIGNING_KEY", outcome: "DONE", client: authItself } as const;
        await audit.append(tx, { ...act, subject: `signing_key:${key.kid}` }, clock.now());
        return store.list(tx);
      });
    }
    keys = found;
    readAtMs = clock.monotonic();
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
    keepUntil: (kid, expireTimeMs) => store.keepUntil(database.sql, kid, expireTimeMs),
    problem: async () => {
      try {
        await timeout(clock, problemMsMax, activeKey());
        return undefined;
      } catch (error) {
        if (error instanceof TimeoutError) return "the signing key cannot be read in time";
        return error instanceof MuinError
          ? `the signing key cannot be read: ${error.message}`
          : "the signing key cannot be opened: the key-encryption secret is not the one that it was written with";
      }
    },
    prune: async (tx) => {
      const found = await store.list(tx);
      const { published } = planSigningKeys(found, clock.now() - tokenAheadMsMax, config);
      for (const { kid } of found.filter((key) => !published.includes(key))) await store.remove(tx, kid);
    },
  };
}

/** Makes a key, its seed encrypted by `vault`. */
async function makeSigningKey(
  vault: Vault,
  random: Random,
  signTimeMs: number,
): Promise<Omit<SigningKey, "tokenExpireTimeMs">> {
  const seed = random.bytes(seedBytes);
  const { x = "" } = await crypto.subtle.exportKey("jwk", await importSeed(seed, true));
  const kid = await calculateJwkThumbprint({ kty: "OKP", crv: "Ed25519", x });
  const publicKey = Buffer.from(x, "base64url");
  return { kid, publicKey, seedSealed: vault.seal("signing-key", kid, seed), signTimeMs };
}

function importSeed(seed: Uint8Array, extractable: boolean): Promise<CryptoKey> {
  return crypto.subtle.importKey("pkcs8", Buffer.concat([pkcs8Head, seed]), "Ed25519", extractable, ["sign"]);
}
