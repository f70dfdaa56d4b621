import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { unpackAsked } from "../../shared/packed-writes.ts";
import { keysOf } from "../../shared/key-schema.ts";
import { announceCount, announceCreated } from "../events.ts";
import { fixtureShards, startManagement, type ManagementFixture } from "../management-fixture.ts";
import { createPostgresRequestStore } from "../request/store-postgres.ts";
import type { RequestStore } from "../request/store.ts";
import { activateInCountsStore, createInCountsStore, decideInCountsStore } from "./counts-store.ts";
import { createCreations, type AskedCreation, type CreationResult, type CreationsDeps } from "./creations.ts";
import { createCountChanges } from "./rules.ts";
import { createPostgresInfoStore } from "./store-postgres.ts";
import type { InfoStore } from "./store.ts";
import { createSweeper } from "./sweeper.ts";

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
type Create = typeof createCreations;

let service: ManagementFixture;
let infos: InfoStore;
let requests: RequestStore;
beforeAll(async () => {
  service = await startManagement();
  infos = createPostgresInfoStore(service.info);
  requests = createPostgresRequestStore({ sql: service.info.sql, windowMs: 600_000 });
});
afterAll(() => service[Symbol.asyncDispose]());

/** Creations on real stores, with some of the steps replaced. */
function creationsWith(broken: Partial<CreationsDeps> = {}, create: Create = createCreations) {
  return create({
    database: service.info,
    infos,
    requests,
    admit: (countIds) => Promise.resolve(countIds.map(() => undefined)),
    decide: (changes) => createInCountsStore(service.states, changes),
    activate: (changes) => activateInCountsStore(service.states, changes),
    announce: (tx, created) => announceCreated(service.publish, tx, created),
    log: silent,
    ...broken,
  });
}

let ids = 0;
const newId = (): string => `g${(ids += 1)}`;
const content = { displayName: "d", labels: {}, minValue: undefined, maxValue: undefined };
function asked(countId: string, requestId = "", changes: Partial<AskedCreation> = {}): AskedCreation {
  const request = { principal: "p", requestId, fingerprint: new Uint8Array([1]) };
  return { countId, content, initialValue: 5n, request, within: (work) => work(), ...changes };
}

/** What came of a creation, in a word. */
function wordOf(result: CreationResult | undefined): string {
  if (result instanceof Error) return "reason" in result ? String(result.reason) : result.constructor.name;
  if (result === undefined || "refused" in result) return result?.refused ?? "nothing";
  return `${result.countInfo?.countId} ${result.countInfo?.etag} ${result.value?.value}`;
}

/** What each store and the events say of Counts, in a line each. */
async function standing(countIds: readonly string[]): Promise<readonly string[]> {
  const records = await service.states.read(countIds);
  const events = await service.events();
  const firsts: string[] = [];
  for (let shard = 0; shard < fixtureShards; shard += 1) {
    for (const [, fields] of await service.counts.client.xrangeBuffer(keysOf(shard).outbox, "-", "+")) {
      firsts.push(...unpackAsked(fields[1] as Buffer).countIds);
    }
  }
  return Promise.all(
    countIds.map(async (countId, place) => {
      const row = (await infos.get(countId))?.state ?? "no row";
      const { record } = records[place] ?? {};
      const announced = events.filter(({ event }) => event.countId === countId).map(({ type }) => type);
      const changes = firsts.filter((id) => id === countId).length;
      return `${row}, ${record?.state ?? "absent"} ${record?.value ?? "-"}, ${announced.join(" ")} ${changes}`;
    }),
  );
}
const whole = "ACTIVE, active 5, CountCreated 1";

/** Runs sweeps until nothing is under way. */
async function sweep(): Promise<void> {
  const changes = createCountChanges({
    database: service.info,
    infos,
    requests,
    decide: (change) => decideInCountsStore(service.states, change),
    creations: creationsWith(),
    admit: () => Promise.resolve(),
    announce: (tx, change, record) => announceCount(service.publish, tx, change.operation, record),
    turns: { run: (work) => work() },
    log: silent,
  });
  const sweeper = createSweeper({ infos, requests, changes, clock: systemClock, log: silent, ageMs: 40 });
  await sweeper.start();
  try {
    await eventually(async () => {
      expect(await service.info.sql`SELECT count_id FROM count_change`).toHaveLength(0);
    });
  } finally {
    await sweeper.stop();
  }
}

/** A batch of all sorts: what is refused or was asked for before leaves no trace, and the others are created. */
async function checkSorts(create: Create): Promise<void> {
  const creations = creationsWith({}, create);
  const [there, answered, resumed] = [newId(), newId(), newId()];
  const [r1, r2, r3, r4] = [
    crypto.randomUUID(),
    crypto.randomUUID(),
    crypto.randomUUID(),
    crypto.randomUUID(),
  ] as const;
  await creationsWith().create([asked(there), asked(answered, r1)]);
  await creationsWith({ decide: (changes) => Promise.resolve(changes.map(() => new Error("killed"))) }).create([
    asked(resumed, r2),
  ]);
  const [fresh, other, free] = [newId(), newId(), newId()];
  const otherwise = { principal: "p", requestId: r1, fingerprint: new Uint8Array([2]) };
  const results = await creations.create([
    asked(other, "", { initialValue: 5n }),
    asked(there, r3),
    asked(free, "", { request: otherwise }),
    asked(answered, r1),
    asked(resumed, r2),
    asked(fresh, r4),
  ]);
  expect(results.map(wordOf)).toEqual([
    `${other} v1 5`,
    "COUNT_EXISTS",
    "REQUEST_ID_REUSED",
    `${answered} v1 5`,
    `${resumed} v1 5`,
    `${fresh} v1 5`,
  ]);
  expect(await standing([there, answered, resumed, fresh, other])).toEqual([whole, whole, whole, whole, whole]);
  expect(await standing([free])).toEqual(["no row, absent -,  0"]);
  // The request that was refused is free for something else, and the Count of the other for somebody.
  const again = await creations.create([asked(newId(), r3), asked(free)]);
  expect(again.map(wordOf)).toEqual([expect.stringMatching(/ v1 5$/), `${free} v1 5`]);
  expect((await creations.create([asked(fresh, r4)])).map(wordOf)).toEqual([`${fresh} v1 5`]);
  expect(await service.info.sql`SELECT 1 FROM count_change`).toHaveLength(0);
}

/** The results of a step, but for one Count an Error. */
function failing<R>(
  countId: string,
  changes: readonly { readonly countId: string }[],
  results: readonly R[],
): readonly (R | Error)[] {
  return results.map((result, place) => (changes[place]?.countId === countId ? new Error("alone") : result));
}

/** A batch in which the database cannot take one Count, the counts store another and its opening a third. */
async function checkOneBad(create: Create): Promise<void> {
  const [first, odd, undecided, unopened, unknown, last] = [newId(), newId(), newId(), newId(), newId(), newId()];
  const creations = creationsWith(
    {
      decide: async (changes) => failing(undecided, changes, await createInCountsStore(service.states, changes)),
      activate: async (changes) => failing(unopened, changes, await activateInCountsStore(service.states, changes)),
      announce: async (tx, created) => {
        await announceCreated(service.publish, tx, created);
        if (created.some(({ record }) => record.countId === unknown)) throw new Error("alone");
      },
    },
    create,
  );
  const half = { ...content, labels: { a: "\ud800" } }; // Half of a surrogate pair, which jsonb does not take.
  const batch = [
    asked(first),
    asked(odd, "", { content: half }),
    ...[undecided, unopened, unknown, last].map((id) => asked(id)),
  ];
  expect((await creations.create(batch)).map(wordOf)).toEqual([
    `${first} v1 5`,
    "PostgresError",
    "OUTCOME_UNKNOWN",
    "OUTCOME_UNKNOWN",
    "OUTCOME_UNKNOWN",
    `${last} v1 5`,
  ]);
  expect(await standing([first, odd, undecided, unopened, unknown, last])).toEqual([
    whole,
    "no row, absent -,  0",
    "PENDING, pending 5,  1",
    whole, // It is not known to be open.
    "PENDING, pending 5,  1",
    whole,
  ]);
  await sweep();
  expect(await standing([undecided, unopened, unknown])).toEqual([whole, whole, whole]);
}

/** Steps at which the process of a batch dies, and what is to be seen of each Count then. */
const crashes: readonly (readonly [name: string, parts: () => Partial<CreationsDeps>, seen: string])[] = [
  ["before the counts store decides", () => ({ decide: die }), "PENDING, absent -,  0"],
  [
    "once the counts store has decided",
    () => ({
      decide: async (changes) => {
        await createInCountsStore(service.states, changes);
        return die(changes);
      },
    }),
    "PENDING, pending 5,  1",
  ],
  [
    "in the transaction that makes them known",
    () => ({
      announce: async (tx, created) => {
        await announceCreated(service.publish, tx, created);
        throw new Error("killed");
      },
    }),
    "PENDING, pending 5,  1",
  ],
  ["before they are opened", () => ({ activate: die }), "ACTIVE, pending 5, CountCreated 1"],
  [
    "before they are ended",
    () => ({ infos: { ...infos, end: () => Promise.reject(new Error("killed")) } }),
    "ACTIVE, active 5, CountCreated 1",
  ],
];
function die(changes: readonly unknown[]): Promise<readonly Error[]> {
  return Promise.resolve(changes.map(() => new Error("killed")));
}

describe("a batch of creations", () => {
  test("creates what may be created, and tells of each of the others why not", () => checkSorts(createCreations));

  test("with one that a step cannot take creates the others", () => checkOneBad(createCreations));

  test.each(crashes)("killed %s is finished by the sweeper, each Count once", async (_, parts, seen) => {
    // More than the sweeper takes up at a time.
    const countIds = Array.from({ length: 120 }, newId);
    const results = await creationsWith(parts()).create(countIds.map((countId) => asked(countId)));
    expect(new Set(results.map(wordOf))).toEqual(new Set(["OUTCOME_UNKNOWN"]));
    expect(new Set(await standing(countIds))).toEqual(new Set([seen]));
    const [one] = countIds as [string];
    const isKnown = seen.startsWith("ACTIVE");
    const found = await service.client.getCountInfo({ countId: one }).catch(String);
    expect(typeof found === "string" ? found : "found").toMatch(isKnown ? "found" : "not_found");
    expect(service.client.createCount({ countId: one })).rejects.toThrow("already_exists");
    await sweep();
    expect(new Set(await standing(countIds))).toEqual(new Set([whole]));
  });

  test.each(crashes)("killed %s is finished by the same requests, with their replies", async (_, parts) => {
    const batch = Array.from({ length: 20 }, () => asked(newId(), crypto.randomUUID()));
    await creationsWith(parts()).create(batch);
    const first = await creationsWith().create(batch);
    expect(first.map(wordOf)).toEqual(batch.map(({ countId }) => `${countId} v1 5`));
    expect(await creationsWith({ decide: die }).create(batch)).toEqual(first);
    expect(new Set(await standing(batch.map(({ countId }) => countId)))).toEqual(new Set([whole]));
  });

  test("of several that ask for the same Counts at once one creates each", async () => {
    const countIds = Array.from({ length: 30 }, newId);
    const batches = Array.from({ length: 6 }, (_, turn) =>
      creationsWith().create(
        (turn % 2 === 0 ? countIds : countIds.toReversed()).map((id) => asked(id, crypto.randomUUID())),
      ),
    );
    const words = (await Promise.all(batches)).flat().map(wordOf);
    expect(words.filter((word) => word !== "COUNT_EXISTS").toSorted()).toEqual(
      countIds.map((id) => `${id} v1 5`).toSorted(),
    );
    expect(new Set(await standing(countIds))).toEqual(new Set([whole]));
  });

  test.each<[string, (create: Create) => Promise<void>, string, string]>([
    ["taking back", checkSorts, "if (taken.length > 0) await infos.takeBack(tx, taken);", ""],
    ["forgetting requests that were refused", checkSorts, "await requests.remove(tx, forgotten);", ""],
    [
      "comparing what a request asked for",
      checkSorts,
      "!Buffer.from(before.fingerprint).equals(request.fingerprint)",
      "false",
    ],
    ["keeping replies", checkSorts, "await requests.answer(tx, answers);", ""],
    ["trying each by itself", checkOneBad, "things.length === 1 || isStores(failure)", "true"],
    ["leaving out what failed", checkOneBad, "return !(answer instanceof Error);", "return true;"],
  ])("is noticed to be without %s", async (_, check, rule, instead) => {
    const path = join(import.meta.dir, "creations.ts");
    const mutant = await importMutant<{ createCreations: Create }>(path, rule, instead);
    await caught(() => check(mutant.createCreations));
    await sweep();
  });
});
