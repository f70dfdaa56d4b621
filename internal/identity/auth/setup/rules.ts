import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { takeLock } from "../../../platform/postgres/advisory-lock.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { createAccount } from "../account/create.ts";
import { emailRule, normaliseEmail } from "../account/email.ts";
import { createPasswordQueue, passwordChars, passwordCharsMax } from "../account/password.ts";
import { postgresAccountStore } from "../account/store-postgres.ts";
import { addApiKey, endApiKey } from "../api-key/rules.ts";
import { secretHashOf } from "../api-key/secret.ts";
import { postgresApiKeyStore } from "../api-key/store-postgres.ts";
import { authItself } from "../audit/client.ts";
import { postgresAuditStore } from "../audit/store-postgres.ts";
import type { AuthConfig } from "../config.ts";
import { orThrow } from "../../../platform/errors/refusal.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { authErrors } from "../errors.ts";
import type { AuthPublish } from "../events.ts";
import { createPersonKeys } from "../person-key/rules.ts";
import { postgresPersonKeyStore } from "../person-key/store-postgres.ts";
import { scopes } from "../../../gen/scopes.ts";
import { scopesOfPerson } from "../scope/rules.ts";
import { postgresScopeStore } from "../scope/store-postgres.ts";
import { createVault } from "../secret/vault.ts";

/** Whoever sets up the installation. */
const itself = { rank: "known", network: "" } as const;
const setupLock = "muin auth setup";

/** What an installation needs before anybody can call it. Works on the migrated database, beside or before the running service. */
export interface AuthSetup {
  /**
   * Makes the first administrator. Does nothing and returns false when there is an administrator, whatever their address; throws
   * EMAIL_TAKEN when the address belongs to somebody who is none, FIELD_INVALID for what is no address or no password.
   */
  ensureAdministrator(account: { readonly email: string; readonly password: string }): Promise<boolean>;
  /** Makes a key that ends after so many milliseconds, whose owner the first administrator is, and returns its secret. */
  makeApiKey(key: {
    readonly name: string;
    readonly scopes: readonly string[];
    readonly lifeMs: number;
  }): Promise<string>;
  /** Whether this is the secret of a key that was neither revoked nor has ended. */
  isLive(secret: string): Promise<boolean>;
  /**
   * Makes a key without end that the installation keeps for itself; the first administrator is its owner. Returns `kept` itself when it
   * is the secret of the live key of this name with these scopes, and its owner holds them; else makes one, revokes the earlier one of
   * this name, and returns the new secret. Throws when there is no administrator.
   */
  ensureApiKey(key: {
    readonly name: string;
    readonly scopes: readonly string[];
    readonly kept: string | undefined;
  }): Promise<{ readonly secret: string; readonly created: boolean }>;
}

/** Every scope there is: what an operator's key holds. */
export const operatorScopes: readonly string[] = scopes;

/** The setup of a database of auth's. `publish` records events in the outbox of this database, as the service's own does. */
export function createAuthSetup(deps: {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly config: AuthConfig;
  readonly clock: Clock;
  readonly random: Random;
}): AuthSetup {
  const { database, publish, config, clock, random } = deps;
  const [accounts, audit, store] = [postgresAccountStore, postgresAuditStore, postgresApiKeyStore];
  const vault = createVault(config.keyEncryptionSecret, random);
  const keyDeps = { database, store: postgresPersonKeyStore, accounts, audit, vault, clock, random };
  const personKeys = createPersonKeys(keyDeps);
  const passwords = createPasswordQueue(config, random, clock);

  return {
    ensureAdministrator: async ({ email: written, password }) => {
      // First: an installation goes on starting with what it was set up with.
      if (await postgresScopeStore.isAssigned(database.sql, "administrator")) return false;
      const email = normaliseEmail(written) ?? orThrow(refuseField("email", emailRule));
      // SignIn takes no longer one.
      if (password === "" || passwordChars(password) > passwordCharsMax) {
        orThrow(refuseField("password", `must have 1 to ${passwordCharsMax} characters`));
      }
      const passwordHash = await passwords.run(itself, new AbortController().signal, (hasher) => hasher.hash(password));
      return database.transaction(async (tx) => {
        await takeLock(tx, setupLock);
        if (await postgresScopeStore.isAssigned(tx, "administrator")) return false; // Another process was faster.
        const account = { email, passwordHash, displayName: "Administrator", role: "administrator" } as const;
        const userId = await createAccount(tx, { accounts, personKeys, publish, clock, random }, account);
        if (userId === undefined) throw authErrors.emailTaken();
        const act = { action: "ASSIGN_ROLE", outcome: "DONE", client: authItself } as const;
        await audit.append(tx, { ...act, subject: `person:${userId}`, detail: account.role }, clock.now());
        return true;
      });
    },

    makeApiKey: ({ name: displayName, scopes, lifeMs }) =>
      database.transaction(async (tx) => {
        const key = { displayName, scopes, expireTimeMs: clock.now() + lifeMs };
        const ownerId = await lockFirstAdministrator(tx);
        return (await addApiKey(tx, { store, audit, clock, random }, { ...key, ownerId }, authItself)).secret;
      }),

    isLive: async (secret) => {
      const key = await store.findBySecretHash(database.sql, secretHashOf(secret));
      return key !== undefined && key.revokeTimeMs === undefined && clock.now() < (key.expireTimeMs ?? Infinity);
    },

    ensureApiKey: ({ name, scopes, kept }) =>
      database.transaction(async (tx) => {
        await takeLock(tx, setupLock);
        const ownerId = await lockFirstAdministrator(tx);
        const live = await store.lockManaged(tx, name);
        if (live !== undefined) {
          const same = scopes.length === live.scopes.length && scopes.every((scope) => live.scopes.includes(scope));
          const held = (await scopesOfPerson(postgresScopeStore, tx, live.ownerId)).scopes;
          const isWhole = same && scopes.every((scope) => held.includes(scope));
          if (isWhole && kept !== undefined && Buffer.compare(secretHashOf(kept), live.secretHash) === 0) {
            return { secret: kept, created: false };
          }
          await endApiKey(tx, { store, audit, publish, clock }, live.apiKeyId, authItself);
        }
        const key = { displayName: name, managedName: name, ownerId, scopes, expireTimeMs: "never" as const };
        const { secret } = await addApiKey(tx, { store, audit, clock, random }, key, authItself);
        return { secret, created: true };
      }),
  };
}

/** Whose the keys of the installation are: the id of the first active administrator, whose account is locked. Throws when there is none. */
async function lockFirstAdministrator(tx: Transaction): Promise<string> {
  const userId = await postgresScopeStore.lockFirstActive(tx, "administrator");
  if (userId === undefined) throw new Error("nobody can own the keys of the installation: no administrator is active");
  return userId;
}
