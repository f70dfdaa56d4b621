import type { Random } from "../../../platform/clock/random.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { RepublishedPage } from "../../../platform/resource/republish.ts";
import { publishUserCreated, type AuthPublish } from "../events.ts";
import type { PersonKeys } from "../person-key/rules.ts";
import type { AccountStore } from "./store.ts";

/** Accounts in one transaction. */
const pageMax = 200;

/** Recording accounts again: their store, the keys that seal what is told of them, and where it is recorded. */
export interface RepublishDeps {
  readonly database: Database;
  readonly accounts: Pick<AccountStore, "ids" | "lockAll">;
  readonly publish: AuthPublish;
  readonly personKeys: Pick<PersonKeys, "find">;
  readonly random: Random;
}

/**
 * Records UserCreated with the present state of some accounts again, at their versions: of those after the id `after`, empty for the
 * first ones. Erased people are left out.
 */
export async function republishAccounts(deps: RepublishDeps, after: string): Promise<RepublishedPage> {
  const { database, accounts, publish, personKeys, random } = deps;
  const ids = await accounts.ids(database.sql, after, pageMax);
  if (ids.length === 0) return { last: "", recorded: 0 };
  const keys = new Map((await personKeys.find(ids)).map((found) => [found.personId, found.key]));
  const recorded = await database.transaction(async (tx) => {
    let count = 0;
    for (const { userId, email, displayName, signUpRoles, version, createTimeMs } of await accounts.lockAll(tx, ids)) {
      const key = keys.get(userId);
      if (key === undefined) continue;
      const created = { email, displayName, roles: signUpRoles, version, createTimeMs };
      await publishUserCreated(tx, publish, random, { personId: userId, key }, created);
      count++;
    }
    return count;
  });
  return { last: ids.at(-1) ?? "", recorded };
}
