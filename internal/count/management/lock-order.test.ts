import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { Transaction } from "../../platform/postgres/database.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { createPostgresInfoStore } from "./info/store-postgres.ts";
import type { CountChange, InfoStore, NewCount } from "./info/store.ts";
import { startManagement, type ManagementFixture } from "./management-fixture.ts";
import { createPostgresRequestStore } from "./request/store-postgres.ts";
import type { RequestIdentity, RequestStore } from "./request/store.ts";

let service: ManagementFixture;
beforeAll(async () => {
  service = await startManagement();
});
afterAll(() => service[Symbol.asyncDispose]());

interface Stores {
  readonly infos: InfoStore;
  readonly requests: RequestStore;
}
const whole = (): Stores => ({
  infos: createPostgresInfoStore(service.info),
  requests: createPostgresRequestStore({ sql: service.info.sql, windowMs: 600_000 }),
});

const content = { displayName: "", labels: {}, minValue: undefined, maxValue: undefined };
const requestOf = (countId: string): RequestIdentity => ({
  principal: "p",
  requestId: `of-${countId}`,
  fingerprint: new Uint8Array([1]),
});
const countOf = (countId: string): NewCount => ({ countId, content, initialValue: 0n, request: requestOf(countId) });
const begun = async (countIds: readonly string[]): Promise<readonly CountChange[]> => {
  const made = await service.info.transaction((tx) => whole().infos.beginCreations(tx, countIds.map(countOf)));
  return made as readonly CountChange[];
};
const entered = (countIds: readonly string[]): Promise<unknown> =>
  service.info.transaction((tx) => enter(whole(), tx, countIds));
const enter = ({ requests }: Stores, tx: Transaction, countIds: readonly string[]): Promise<unknown> =>
  requests.enter(
    tx,
    countIds.map((countId) => ({ request: requestOf(countId), countId })),
  );

/** What takes several rows, what has to be there before, and what takes one of them. */
interface Taking {
  readonly before: (countIds: readonly string[]) => Promise<unknown>;
  readonly take: (stores: Stores, tx: Transaction, countIds: readonly string[]) => Promise<unknown>;
  readonly one: (tx: Transaction, countId: string) => Promise<unknown>;
}
const lockCount: Taking["one"] = (tx, countId) => tx`SELECT FROM count_info WHERE count_id = ${countId} FOR UPDATE`;
const lockRequest: Taking["one"] = (tx, countId) =>
  tx`SELECT FROM request_memory WHERE request_id = ${`of-${countId}`} FOR UPDATE`;
const nothing = (): Promise<void> => Promise.resolve();

const takings: Readonly<Record<string, Taking>> = {
  beginCreations: {
    before: nothing,
    take: ({ infos }, tx, countIds) => infos.beginCreations(tx, countIds.map(countOf)),
    one: (tx, countId) => whole().infos.beginCreations(tx, [countOf(countId)]),
  },
  save: {
    before: begun,
    take: ({ infos }, tx, countIds) =>
      infos.save(
        tx,
        countIds.map((countId) => ({
          ...content,
          countId,
          state: "ACTIVE",
          version: 1,
          createTimeMs: 0,
          updateTimeMs: 0,
        })),
      ),
    one: lockCount,
  },
  end: {
    before: begun,
    take: ({ infos }, tx, countIds) =>
      infos.end(
        tx,
        countIds.map((countId) => ({
          countId,
          infoRevision: 1,
          operation: "CREATE",
          content,
          initialValue: 0n,
          createTimeMs: 0,
          startTimeMs: 0,
        })),
      ),
    one: lockCount,
  },
  enter: { before: nothing, take: enter, one: (tx, countId) => enter(whole(), tx, [countId]) },
  answer: {
    before: entered,
    take: ({ requests }, tx, countIds) =>
      requests.answer(
        tx,
        countIds.map((countId) => ({ request: requestOf(countId), response: new Uint8Array([1]) })),
      ),
    one: lockRequest,
  },
  remove: {
    before: entered,
    take: ({ requests }, tx, countIds) => requests.remove(tx, countIds.map(requestOf)),
    one: lockRequest,
  },
};

class Rest extends Error {}

/** Runs work in a transaction that is rolled back. */
async function thenRolledBack(work: (tx: Transaction) => Promise<unknown>): Promise<void> {
  const done = service.info.transaction(async (tx) => {
    await work(tx);
    throw new Rest();
  });
  await done.catch((error: unknown) => {
    if (!(error instanceof Rest)) throw error;
  });
}

let names = 0;

/** While the middle one of three is held by another, the first is taken and the last is not, in whatever order they were named. */
async function checkOrder({ before, take, one }: Taking, stores: Stores): Promise<void> {
  for (const order of [
    [0, 1, 2],
    [2, 1, 0],
    [2, 0, 1],
  ]) {
    const prefix = `l${(names += 1)}.`;
    const sorted = [`${prefix}-a`, `${prefix}.b`, `${prefix}c`] as const; // As bytes: a language's order ignores the signs.
    await before(sorted);
    const held = Promise.withResolvers<void>();
    const free = Promise.withResolvers<void>();
    let pid = 0;
    const holding = thenRolledBack(async (tx) => {
      await one(tx, sorted[1]);
      held.resolve();
      await free.promise;
    });
    await held.promise;
    const taking = thenRolledBack(async (tx) => {
      const [row] = await tx<{ pid: number }[]>`SELECT pg_backend_pid() AS pid`;
      pid = row?.pid ?? 0;
      await take(
        stores,
        tx,
        order.map((place) => sorted[place] as string),
      );
    });
    const isTaken = async (countId: string): Promise<boolean> => {
      try {
        await thenRolledBack(async (tx) => {
          await tx`SET LOCAL lock_timeout = '50ms'`;
          await one(tx, countId);
        });
        return false;
      } catch {
        return true;
      }
    };
    try {
      await eventually(async () => {
        const [row] = await service.info.sql<{ waits: boolean }[]>`
          SELECT cardinality(pg_blocking_pids(${pid})) > 0 AS waits`;
        expect(row?.waits).toBe(true);
      });
      expect([order, await isTaken(sorted[0]), await isTaken(sorted[2])]).toEqual([order, true, false]);
    } finally {
      free.resolve();
      await Promise.allSettled([holding, taking]);
    }
  }
}

describe.each(Object.keys(takings))("%s of several", (name) => {
  test("takes them in the order of their names", () => checkOrder(takings[name] as Taking, whole()));
});

describe("several rows", () => {
  const [lockRequests, backwards] = ['request_id COLLATE "C" FOR UPDATE`', 'request_id COLLATE "C" DESC FOR UPDATE`'];
  test.each([
    ["beginCreations", "info", 'ORDER BY count_id COLLATE "C"\n', "\n"],
    ["save", "info", "ORDER BY count_id FOR UPDATE", "ORDER BY count_id DESC FOR UPDATE"],
    ["end", "info", "ORDER BY count_id FOR UPDATE", "ORDER BY count_id DESC FOR UPDATE"],
    ["enter", "request", '        ORDER BY principal COLLATE "C", request_id COLLATE "C"\n', ""],
    ["answer", "request", lockRequests, backwards],
    ["remove", "request", lockRequests, backwards],
  ] as const)("of %s are noticed to be taken in another order", async (name, folder, rule, instead) => {
    const path = join(import.meta.dir, folder, "store-postgres.ts");
    const mutant = await importMutant<
      Partial<typeof import("./info/store-postgres.ts")> & Partial<typeof import("./request/store-postgres.ts")>
    >(path, rule, instead);
    const { infos, requests } = whole();
    const stores = {
      infos: mutant.createPostgresInfoStore?.(service.info) ?? infos,
      requests: mutant.createPostgresRequestStore?.({ sql: service.info.sql, windowMs: 600_000 }) ?? requests,
    };
    await caught(() => checkOrder(takings[name] as Taking, stores));
  });
});
