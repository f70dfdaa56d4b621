import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid, type Random } from "../../../platform/clock/random.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import type { PersonKey } from "../../../shared/person/person-seal.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import { refuse } from "../errors.ts";
import type { Vault } from "../secret/vault.ts";
import type { PersonKeyStore } from "./store.ts";

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
  /** Finds them for somebody else: for each person whose key that is, the audit log says who got it. Without a record, no key. */
  handOut(personIds: readonly string[], client: ClientInfo): Promise<readonly FoundPersonKey[]>;
  /**
   * Destroys the key of a person whose account is gone, once; returns when it was destroyed, in milliseconds since 1970. Refused while
   * the account is there, and when there never was a key.
   */
  destroy(
    personId: string,
    client: ClientInfo,
  ): Promise<{ readonly destroyTimeMs: number } | Refusal<"userNotFound" | "accountExists">>;
}

/** People's keys in a database, encrypted by `vault`. */
export function createPersonKeys(deps: {
  readonly database: Database;
  readonly store: PersonKeyStore;
  readonly accounts: Pick<AccountStore, "find">;
  readonly audit: Pick<AuditStore, "append" | "appendEach">;
  readonly vault: Vault;
  readonly clock: Clock;
  readonly random: Random;
}): PersonKeys {
  const { database, store, accounts, audit, vault, clock, random } = deps;
  const find: PersonKeys["find"] = async (personIds) => {
    const ids = personIds.filter((id) => isUuid(id)); // Other texts are nobody's id.
    const kept = new Map((await store.find(database.sql, ids)).map((found) => [found.personId, found]));
    return personIds.map((personId) => {
      const found = kept.get(personId);
      const key = found?.keySealed && vault.open("person-key", personId, found.keySealed);
      return { personId, key, destroyed: found !== undefined && key === undefined };
    });
  };
  return {
    create: async (tx, personId) => {
      const key = random.bytes(keyBytes);
      await store.insert(tx, personId, vault.seal("person-key", personId, key), clock.now());
      return { personId, key };
    },

    find,

    handOut: async (personIds, client) => {
      const found = await find(personIds);
      const subjects = new Set(
        found.filter(({ key }) => key !== undefined).map(({ personId }) => `person:${personId}`),
      );
      if (subjects.size > 0) {
        const act = { action: "HAND_OUT_PERSON_KEY", outcome: "DONE", client } as const;
        await audit.appendEach(database.sql, act, [...subjects], clock.now());
      }
      return found;
    },

    destroy: async (personId, client) => {
      if (!isUuid(personId)) return refuse("userNotFound");
      return database.transaction(async (tx) => {
        const kept = await store.lock(tx, personId);
        if (kept === undefined) return refuse("userNotFound");
        if (kept.destroyTimeMs !== undefined) return { destroyTimeMs: kept.destroyTimeMs };
        if ((await accounts.find(tx, personId)) !== undefined) return refuse("accountExists");
        const destroyTimeMs = clock.now();
        await store.destroy(tx, personId, destroyTimeMs);
        const act = { action: "DESTROY_PERSON_KEY", outcome: "DONE", client, subject: `person:${personId}` } as const;
        await audit.append(tx, act, destroyTimeMs);
        return { destroyTimeMs };
      });
    },
  };
}
