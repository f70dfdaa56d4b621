import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { PersonKey } from "../../../shared/person/person-seal.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { recordAct } from "../audit/log.ts";
import type { ClientInfo } from "../audit/client.ts";
import { accountExists, personNotFound } from "../errors.ts";
import { isUuid } from "../request.ts";
import type { Vault } from "../secret/vault.ts";

const keyBytes = 32;

/** What is known of a person's key; without `key` it was destroyed, or there never was one. */
export interface FoundPersonKey {
  readonly personId: string;
  readonly key: Uint8Array | undefined;
  readonly destroyed: boolean;
}

/** Keys that encrypt people's fields in events. */
export interface PersonKeys {
  /** Makes the key of a new person. */
  create(tx: Transaction, personId: string): Promise<PersonKey>;
  /** Finds keys: one result for each id, in that order. */
  find(personIds: readonly string[]): Promise<readonly FoundPersonKey[]>;
  /**
   * Destroys the key of a person whose account is gone, once; returns when it was destroyed, in milliseconds since 1970. FAILED_PRECONDITION while
   * the account is there, NOT_FOUND when there never was a key.
   */
  destroy(personId: string, client: ClientInfo): Promise<number>;
}

/** Makes the rules. */
export function createPersonKeys(deps: {
  readonly database: Database;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
}): PersonKeys {
  const { database, vault, clock, random } = deps;
  return {
    create: async (tx, personId) => {
      const key = random.bytes(keyBytes);
      await tx`
        INSERT INTO person_keys (person_id, key_sealed, create_time)
        VALUES (${personId}, ${vault.seal("person-key", personId, key)}, ${new Date(clock.now())})`;
      return { personId, key };
    },
    find: async (personIds) => {
      const ids = personIds.filter((id) => isUuid(id)); // Other texts are nobody's id.
      const rows = await database.sql<{ person_id: string; key_sealed: Uint8Array | null }[]>`
        SELECT person_id, key_sealed FROM person_keys WHERE person_id = ANY(${ids}::uuid[])`;
      const sealed = new Map(rows.map((row) => [row.person_id, row.key_sealed]));
      return personIds.map((personId) => {
        const found = sealed.get(personId);
        return {
          personId,
          key: found === undefined || found === null ? undefined : vault.open("person-key", personId, found),
          destroyed: found === null,
        };
      });
    },
    destroy: (personId, client) =>
      database.transaction(async (tx) => {
        if (!isUuid(personId)) throw personNotFound();
        const [row] = await tx<{ destroy_time: Date | null }[]>`
          SELECT destroy_time FROM person_keys WHERE person_id = ${personId} FOR UPDATE`;
        if (row === undefined) throw personNotFound();
        if (row.destroy_time !== null) return row.destroy_time.getTime();
        const accounts = await tx`SELECT 1 FROM accounts WHERE user_id = ${personId}`;
        if (accounts.length > 0) throw accountExists();
        const nowMs = clock.now();
        await tx`
          UPDATE person_keys SET key_sealed = NULL, destroy_time = ${new Date(nowMs)} WHERE person_id = ${personId}`;
        const subject = `person:${personId}`;
        await recordAct(tx, { action: "DESTROY_PERSON_KEY", outcome: "DONE", client, subject }, nowMs);
        return nowMs;
      }),
  };
}
