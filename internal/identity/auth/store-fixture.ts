import { expect } from "bun:test";
import { systemRandom } from "../../platform/clock/random.ts";
import type { Database, Transaction } from "../../platform/postgres/database.ts";
import { migrate } from "../../platform/postgres/migrate.ts";
import { openDatabase } from "../../platform/postgres/open-database.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { sharedPostgres } from "../../platform/testing/postgres.ts";
import { postgresAccountStore } from "./account/store-postgres.ts";
import { migrations } from "./migrations.ts";

/** A store of auth's to be tried, and the database whose transactions it works in. */
export interface StartedStore<S> extends AsyncDisposable {
  readonly store: S;
  readonly database: Database;
  /** Makes an account; returns its id and address. */
  newAccount(): Promise<{ readonly userId: string; readonly email: string }>;
  /** Whether `second`, in a transaction of its own, waits for the end of the transaction in which `first` was done; and what it brings. */
  waits<T>(
    first: (tx: Transaction) => Promise<unknown>,
    second: (tx: Transaction) => Promise<T>,
  ): Promise<{ readonly waited: boolean; readonly result: T }>;
}

/** Starts what a contract tries. */
export type StartStore<S> = () => Promise<StartedStore<S>>;

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

/** A hash of nothing that anybody has: 32 random bytes. */
export function randomHash(): Uint8Array {
  return systemRandom.bytes(32);
}

/** Starts a store on a PostgreSQL database of its own. */
export async function startPostgresStore<S>(store: S): Promise<StartedStore<S>> {
  const url = await (await sharedPostgres()).createDatabase();
  await migrate({ url, migrations, log: silent });
  const database = openDatabase({ url, poolMax: 4, applicationName: "store test" });
  return {
    store,
    database,
    newAccount: async () => {
      const userId = systemRandom.uuid();
      const account = {
        userId,
        email: `${userId}@example.org`,
        displayName: "",
        passwordHash: "hash",
        createTimeMs: 1,
      };
      await database.transaction((tx) => postgresAccountStore.insert(tx, { ...account, role: "member" }));
      return account;
    },
    waits: async (first, second) => {
      let waited = false;
      let isSettled = false;
      const { promise: began, resolve: begin } = Promise.withResolvers<void>();
      const result = began.then(() => database.transaction(second)).finally(() => (isSettled = true));
      result.catch(() => undefined); // Awaited below.
      await database.transaction(async (tx) => {
        await first(tx);
        begin();
        await eventually(async () => {
          if (isSettled) return;
          const waiting = await database.sql`
            SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()`;
          expect(waiting.length).toBeGreaterThan(0);
          waited = true;
        });
      });
      return { waited, result: await result };
    },
    [Symbol.asyncDispose]: () => database.stop(),
  };
}
