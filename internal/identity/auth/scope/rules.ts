import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database, Sql } from "../../../platform/postgres/database.ts";
import { recordAct } from "../audit/log.ts";
import type { ClientInfo } from "../audit/client.ts";
import { invalidField, personNotFound, scopeNotHeld } from "../errors.ts";
import { isUuid } from "../request.ts";
import { scopesOf } from "./role.ts";
import { scopes as knownScopes } from "../../../gen/scopes.ts";

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

/** The rules of scopes that are given to people. They show in tokens from the next refresh on. */
export interface Scopes {
  /** NOT_FOUND when there is no such person. */
  get(userId: string): Promise<PersonScopes>;
  /** Gives scopes. `held` are those of who asks: nobody gives what they do not hold. */
  grant(
    userId: string,
    scopes: readonly string[],
    held: ReadonlySet<string>,
    client: ClientInfo,
  ): Promise<PersonScopes>;
  /** Takes back what was given. Nobody takes what they do not hold. */
  revoke(
    userId: string,
    scopes: readonly string[],
    held: ReadonlySet<string>,
    client: ClientInfo,
  ): Promise<PersonScopes>;
}

/** Makes the rules. */
export function createScopes(deps: { readonly database: Database; readonly clock: Clock }): Scopes {
  const { database, clock } = deps;
  const change =
    (action: "GRANT_SCOPES" | "REVOKE_SCOPES"): Scopes["grant"] =>
    async (userId, scopes, held, client) => {
      checkScopes(scopes, held);
      if (!isUuid(userId)) throw personNotFound();
      return database.transaction(async (tx) => {
        const account = await tx`SELECT 1 FROM accounts WHERE user_id = ${userId} FOR UPDATE`;
        if (account.length === 0) throw personNotFound();
        const now = new Date(clock.now());
        const changed =
          action === "GRANT_SCOPES"
            ? await tx<{ scope: string }[]>`
                INSERT INTO scope_grants (user_id, scope, create_time)
                SELECT ${userId}, scope, ${now} FROM unnest(${[...scopes]}::text[]) AS scope
                ON CONFLICT DO NOTHING RETURNING scope`
            : await tx<{ scope: string }[]>`
                DELETE FROM scope_grants WHERE user_id = ${userId} AND scope = ANY(${[...scopes]}::text[])
                RETURNING scope`;
        if (changed.length > 0) {
          const detail = changed.map(({ scope }) => scope).join(" ");
          const act = { action, outcome: "DONE", client, subject: `person:${userId}`, detail } as const;
          await recordAct(tx, act, now.getTime());
        }
        return scopesOfPerson(tx, userId);
      });
    };
  return {
    get: async (userId) => {
      if (!isUuid(userId)) throw personNotFound();
      const account = await database.sql`SELECT 1 FROM accounts WHERE user_id = ${userId}`;
      if (account.length === 0) throw personNotFound();
      return scopesOfPerson(database.sql, userId);
    },
    grant: change("GRANT_SCOPES"),
    revoke: change("REVOKE_SCOPES"),
  };
}

/** What a person may do now. A scope that this version does not know (any more) is none. */
export async function scopesOfPerson(sql: Sql, userId: string): Promise<PersonScopes> {
  const [row] = await sql<{ roles: string[]; granted: string[] }[]>`
    SELECT ARRAY(SELECT role FROM role_assignments WHERE user_id = ${userId} AND branch_id = '') AS roles,
      ARRAY(SELECT scope FROM scope_grants WHERE user_id = ${userId}) AS granted`;
  const byRole = scopesOf(row?.roles ?? []);
  const granted = knownScopes.filter((scope) => row?.granted.includes(scope) === true);
  const scopes = knownScopes.filter((scope) => byRole.includes(scope) || granted.includes(scope));
  return { userId, scopes, granted, byRole };
}

/** Refuses scopes that are not known, and those that who asks does not hold. */
export function checkScopes(scopes: readonly string[], held: ReadonlySet<string>): void {
  for (const scope of scopes) {
    if (!(knownScopes as readonly string[]).includes(scope)) {
      throw invalidField("scopes", `has the unknown scope ${JSON.stringify(scope)}; known: ${knownScopes.join(", ")}`);
    }
    if (!held.has(scope)) throw scopeNotHeld(scope);
  }
}
