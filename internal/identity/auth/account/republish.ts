import type { Random } from "../../../platform/clock/random.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { publishUserCreated, type AuthPublish } from "../events.ts";
import type { PersonKeys } from "../person-key/rules.ts";

/** Accounts in one transaction. */
const batchMax = 200;

/** What recording accounts again needs. */
export interface RepublishDeps {
  readonly database: Database;
  readonly publish: AuthPublish;
  readonly personKeys: PersonKeys;
  readonly random: Random;
}

/** Records UserCreated with the present state of every account again, at its version. Returns how many. Erased people are left out. */
export async function republishUsers(deps: RepublishDeps): Promise<number> {
  for (let total = 0, after = ""; ;) {
    const { count, last } = await republishPage(deps, after);
    total += count;
    if (last === "") return total;
    after = last;
  }
}

/** The same for some accounts after the id `after`, empty for the first ones; `last` is empty when there were none. */
export async function republishPage(
  { database, publish, personKeys, random }: RepublishDeps,
  after: string,
): Promise<{ readonly count: number; readonly last: string }> {
  const { sql } = database;
  const ids = (
    await sql<{ user_id: string }[]>`
      SELECT user_id FROM accounts ${after === "" ? sql`` : sql`WHERE user_id > ${after}`}
      ORDER BY user_id LIMIT ${batchMax}`
  ).map((row) => row.user_id);
  const last = ids.at(-1);
  if (last === undefined) return { count: 0, last: "" };
  const keys = new Map((await personKeys.find(ids)).map((found) => [found.personId, found.key]));
  const count = await database.transaction(async (tx) => {
    const rows = await tx<
      {
        user_id: string;
        email: string;
        display_name: string;
        version: string;
        create_time: Date;
        sign_up_roles: string[];
      }[]
    >`
      SELECT user_id, email, display_name, version, create_time, sign_up_roles
      FROM accounts WHERE user_id = ANY(${ids}::uuid[]) ORDER BY user_id FOR UPDATE`;
    let recorded = 0;
    for (const row of rows) {
      const key = keys.get(row.user_id);
      if (key === undefined) continue;
      await publishUserCreated(
        tx,
        publish,
        random,
        { personId: row.user_id, key },
        {
          email: row.email,
          displayName: row.display_name,
          roles: row.sign_up_roles,
          version: BigInt(row.version),
          createTimeMs: row.create_time.getTime(),
        },
      );
      recorded++;
    }
    return recorded;
  });
  return { count, last };
}
