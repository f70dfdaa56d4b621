import type { Clock } from "../../../platform/clock/clock.ts";
import { isUuid } from "../../../platform/clock/random.ts";
import type { Database, Sql } from "../../../platform/postgres/database.ts";
import type { AccountStore } from "../account/store.ts";
import type { ClientInfo } from "../audit/client.ts";
import type { AuditStore } from "../audit/store.ts";
import type { Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { refusalToActOn, scopesOfCaller } from "../../../platform/resource/caller-scopes.ts";
import { refuseField } from "../../../platform/resource/errors.ts";
import { refuse } from "../errors.ts";
import { scopesOf } from "../../shared/role.ts";
import { scopes as knownScopes } from "../../../gen/scopes.ts";
import type { ScopeStore } from "./store.ts";

/** What a person may do, and why. Each list in the order of `scopes`. */
export interface PersonScopes {
  readonly userId: string;
  /** What the next token carries. */
  readonly scopes: readonly string[];
  /** Those of them that were given to the person. */
  readonly granted: readonly string[];
  /** Those of them that a role gives. */
  readonly byRole: readonly string[];
}

/** Scopes given to a person or taken back, and by whom. */
export interface ScopeChange {
  readonly userId: string;
  readonly scopes: readonly string[];
  readonly caller: Caller;
}

type ChangeRefusal = Refusal<"userNotFound" | "fieldInvalid" | "scopeMissing" | "personHoldsMore">;

/** The rules of scopes that are given to people. They show in tokens from the next refresh on. Nobody changes those of who holds more than they do. */
export interface Scopes {
  get(userId: string): Promise<PersonScopes | Refusal<"userNotFound">>;
  /** Gives scopes; nobody gives what they do not hold. One that the person has stays. */
  grant(change: ScopeChange, client: ClientInfo): Promise<PersonScopes | ChangeRefusal>;
  /** Takes back what was given; nobody takes what they do not hold. What a role gives stays. */
  revoke(change: ScopeChange, client: ClientInfo): Promise<PersonScopes | ChangeRefusal>;
}

/** The scopes of people in a database. */
export function createScopes(deps: {
  readonly database: Database;
  readonly store: ScopeStore;
  readonly accounts: Pick<AccountStore, "find" | "lock">;
  readonly audit: Pick<AuditStore, "append">;
  readonly clock: Clock;
}): Scopes {
  const { database, store, accounts, audit, clock } = deps;
  const change =
    (action: "GRANT_SCOPES" | "REVOKE_SCOPES"): Scopes["grant"] =>
    async ({ userId, scopes, caller }, client) => {
      const refusal = refusalToGive(scopes, scopesOfCaller(caller));
      if (refusal !== undefined) return refusal;
      if (!isUuid(userId)) return refuse("userNotFound");
      return database.transaction(async (tx) => {
        if ((await accounts.lock(tx, userId)) === undefined) return refuse("userNotFound");
        const excess = refusalToActOn(caller, userId, (await scopesOfPerson(store, tx, userId)).scopes);
        if (excess !== undefined) return excess;
        const nowMs = clock.now();
        const changed =
          action === "GRANT_SCOPES"
            ? await store.grant(tx, userId, scopes, nowMs)
            : await store.revoke(tx, userId, scopes);
        if (changed.length > 0) {
          const subject = `person:${userId}`;
          await audit.append(tx, { action, outcome: "DONE", client, subject, detail: changed.join(" ") }, nowMs);
        }
        return scopesOfPerson(store, tx, userId);
      });
    };
  return {
    get: async (userId) => {
      const account = isUuid(userId) ? await accounts.find(database.sql, userId) : undefined;
      return account === undefined ? refuse("userNotFound") : scopesOfPerson(store, database.sql, userId);
    },
    grant: change("GRANT_SCOPES"),
    revoke: change("REVOKE_SCOPES"),
  };
}

/** What a person may do now; nothing when there is no such person. A scope that this version does not know (any more) is none. */
export async function scopesOfPerson(store: Pick<ScopeStore, "find">, on: Sql, userId: string): Promise<PersonScopes> {
  const found = await store.find(on, userId);
  const byRole = scopesOf(found.roles);
  const granted = knownScopes.filter((scope) => found.granted.includes(scope));
  const scopes = knownScopes.filter((scope) => byRole.includes(scope) || granted.includes(scope));
  return { userId, scopes, granted, byRole };
}

/** Why somebody who holds `held` cannot give these scopes: one is unknown, or not theirs to give. `undefined` when they can. */
export function refusalToGive(
  scopes: readonly string[],
  held: ReadonlySet<string>,
): Refusal<"fieldInvalid" | "scopeMissing"> | undefined {
  for (const scope of scopes) {
    if (!(knownScopes as readonly string[]).includes(scope)) {
      return refuseField("scopes", `has the unknown scope ${JSON.stringify(scope)}; known: ${knownScopes.join(", ")}`);
    }
    if (!held.has(scope)) return refuse("scopeMissing", { scope });
  }
  return undefined;
}
