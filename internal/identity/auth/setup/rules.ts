import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Database, Sql } from "../../../platform/postgres/database.ts";
import { insertAccount } from "../account/rules.ts";
import { insertApiKey, revokeApiKey, secretHashOf } from "../api-key/rules.ts";
import { authItself, recordAct } from "../audit/log.ts";
import type { AuthConfig } from "../config.ts";
import { normaliseEmail } from "../account/email.ts";
import { emailTaken, invalidEmail, invalidField } from "../errors.ts";
import type { AuthPublish } from "../events.ts";
import { createPasswordQueue } from "../account/password.ts";
import { createPersonKeys } from "../person-key/rules.ts";
import { scopes } from "../../../gen/scopes.ts";
import { createVault } from "../secret/vault.ts";

const passwordCharsMax = 256;

/** What an installation needs before anybody can call it. Works on the migrated database, beside or before the running service. */
export interface AuthSetup {
  /**
   * Makes the first administrator. Does nothing and returns false when there is an administrator, whatever their address; throws
   * ALREADY_EXISTS when the address belongs to somebody who is none.
   */
  ensureAdministrator(account: { readonly email: string; readonly password: string }): Promise<boolean>;
  /**
   * Makes a key that the installation keeps for itself. Returns `kept` itself when it is the secret of the live key of this name
   * with these scopes; else makes one, revokes the earlier one of this name, and returns the new secret.
   */
  ensureApiKey(key: {
    readonly name: string;
    readonly scopes: readonly string[];
    readonly kept: string | undefined;
  }): Promise<{ readonly secret: string; readonly created: boolean }>;
}

/** Every scope there is: what an operator's key holds. */
export const operatorScopes: readonly string[] = scopes;

/** Makes the setup. `publish` records events in the outbox of this database, as the service's own does. */
export function createAuthSetup(deps: {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly config: AuthConfig;
  readonly clock: Clock;
  readonly random: Random;
}): AuthSetup {
  const { database, publish, config, clock, random } = deps;
  const vault = createVault(config.keyEncryptionSecret, random);
  const personKeys = createPersonKeys({ database, vault, clock, random });
  const passwords = createPasswordQueue(config, random);

  return {
    ensureAdministrator: async ({ email: written, password }) => {
      const email = normaliseEmail(written);
      if (email === undefined) throw invalidEmail();
      // SignIn takes no longer one.
      if (password === "" || password.length > passwordCharsMax) {
        throw invalidField("password", `must have 1 to ${passwordCharsMax} characters`);
      }
      if (await hasAdministrator(database.sql)) return false;
      const passwordHash = await passwords.run(new AbortController().signal, (hasher) => hasher.hash(password));
      return database.transaction(async (tx) => {
        await tx`SELECT pg_advisory_xact_lock(hashtext('muin auth setup'))`;
        if (await hasAdministrator(tx)) return false; // Another process was faster.
        const account = { email, passwordHash, displayName: "Administrator", role: "administrator" } as const;
        const userId = await insertAccount(tx, { personKeys, publish, clock, random }, account);
        if (userId === undefined) throw emailTaken();
        await recordAct(
          tx,
          {
            action: "ASSIGN_ROLE",
            outcome: "DONE",
            client: authItself,
            subject: `person:${userId}`,
            detail: "administrator",
          },
          clock.now(),
        );
        return true;
      });
    },
    ensureApiKey: ({ name, scopes, kept }) =>
      database.transaction(async (tx) => {
        await tx`SELECT pg_advisory_xact_lock(hashtext('muin auth setup'))`;
        const [live] = await tx<{ api_key_id: string; secret_hash: Uint8Array; scopes: string[] }[]>`
          SELECT api_key_id, secret_hash, scopes FROM api_keys
          WHERE managed_name = ${name} AND revoke_time IS NULL FOR UPDATE`;
        if (live !== undefined) {
          const same = scopes.length === live.scopes.length && scopes.every((scope) => live.scopes.includes(scope));
          if (same && kept !== undefined && Buffer.compare(secretHashOf(kept), live.secret_hash) === 0) {
            return { secret: kept, created: false };
          }
          await revokeApiKey(tx, { publish, clock }, live.api_key_id, authItself);
        }
        const key = { displayName: name, scopes, expireTimeMs: undefined };
        const { secret } = await insertApiKey(tx, { clock, random }, key, name, authItself);
        return { secret, created: true };
      }),
  };
}

async function hasAdministrator(sql: Sql): Promise<boolean> {
  const rows = await sql`SELECT 1 FROM role_assignments WHERE role = 'administrator' LIMIT 1`;
  return rows.length > 0;
}
