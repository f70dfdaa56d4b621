import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { publishUserCreated, type AuthPublish } from "../events.ts";
import type { PersonKeys } from "../person-key/rules.ts";
import type { Role } from "../../shared/role.ts";
import type { AccountStore } from "./store.ts";

/** Where an account, its key and its event are recorded, with the time and the randomness for them. */
export interface CreateAccountDeps {
  readonly accounts: Pick<AccountStore, "insert">;
  readonly personKeys: Pick<PersonKeys, "create">;
  readonly publish: AuthPublish;
  readonly clock: Clock;
  readonly random: Random;
}

/**
 * Adds an account, whose address was proven, with its key, its role and UserCreated, and returns its id; `undefined`, without effect, when the address has an
 * account. Leaves the account's row locked by `tx`.
 */
export async function createAccount(
  tx: Transaction,
  deps: CreateAccountDeps,
  account: {
    /** Normalised. */
    readonly email: string;
    readonly passwordHash: string;
    readonly displayName: string;
    readonly role: Role;
  },
): Promise<string | undefined> {
  const { accounts, personKeys, publish, clock, random } = deps;
  const userId = random.uuid();
  const createTimeMs = clock.now();
  if (!(await accounts.insert(tx, { ...account, userId, createTimeMs }))) return undefined;
  const person = await personKeys.create(tx, userId);
  const { email, displayName, role } = account;
  const created = { email, displayName, roles: [role], version: 1n, createTimeMs };
  await publishUserCreated(tx, publish, random, person, created);
  return userId;
}
