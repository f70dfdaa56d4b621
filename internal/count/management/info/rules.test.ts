import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import type { CreateCountResponse } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import type { Transaction } from "../../../platform/postgres/database.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import { keysOf, shardOf } from "../../shared/key-schema.ts";
import type { Applied, Decision } from "./change-result.ts";
import { createCreations } from "./creations.ts";
import { createCountChanges, type CountChanges } from "./rules.ts";
import type { Mutation } from "./plan.ts";
import type { CountRecord, Operation } from "./record.ts";
import { activateInCountsStore, createInCountsStore, decideInCountsStore } from "./counts-store.ts";
import { announceCount } from "../events.ts";
import { fixtureShards, startManagement, type ManagementFixture } from "../management-fixture.ts";
import { createPostgresRequestStore } from "../request/store-postgres.ts";
import type { RequestIdentity, RequestStore } from "../request/store.ts";
import { createPostgresInfoStore } from "./store-postgres.ts";
import type { CountChange, InfoStore, NewCount } from "./store.ts";
import { createSweeper } from "./sweeper.ts";

const childFile = Bun.fileURLToPath(new URL("saga-child.ts", import.meta.url));
const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

let service: ManagementFixture;
let infos: InfoStore;
let requests: RequestStore;
beforeAll(async () => {
  service = await startManagement();
  infos = createPostgresInfoStore(service.info);
  requests = createPostgresRequestStore({ sql: service.info.sql, windowMs: 600_000 });
});
afterAll(() => service[Symbol.asyncDispose]());

/** The parts of the saga, for one Count each. */
interface Parts {
  readonly decide: (change: CountChange) => Promise<Decision>;
  readonly activate: (change: CountChange) => Promise<void>;
  readonly announce: (tx: Transaction, operation: Operation, record: CountRecord) => Promise<void>;
  readonly infos: InfoStore;
}
/** The saga as it is written, or as a mutant has it. */
const whole = { createCreations, createCountChanges };

async function decide(change: CountChange): Promise<Decision> {
  if (change.operation !== "CREATE") return decideInCountsStore(service.states, change);
  const [made] = await createInCountsStore(service.states, [change]);
  if (made === undefined || made instanceof Error) throw made;
  return made;
}

async function activate(change: CountChange): Promise<void> {
  const [failure] = await activateInCountsStore(service.states, [change]);
  if (failure !== undefined) throw failure;
}

/** A step for several, from that for one. */
function each<R>(step: (change: CountChange) => Promise<R>) {
  return (changes: readonly CountChange[]): Promise<(R | Error)[]> =>
    Promise.all(changes.map((change) => step(change).catch((error: Error) => error)));
}

/** The saga on real stores, with some of its parts replaced. */
function sagaWith(
  broken: Partial<Parts> = {},
  { createCreations, createCountChanges }: typeof whole = whole,
): Pick<CountChanges, "finish"> & {
  mutate(mutation: Mutation | Wanted, request: RequestIdentity): Promise<CreateCountResponse>;
} {
  const parts: Parts = {
    decide,
    activate,
    announce: (tx, operation, record) => announceCount(service.publish, tx, operation, record),
    infos,
    ...broken,
  };
  const { announce } = parts;
  const common = { database: service.info, infos: parts.infos, requests, log: silent };
  const creations = createCreations({
    ...common,
    admit: (countIds) => Promise.resolve(countIds.map(() => undefined)),
    decide: each(parts.decide as (change: CountChange) => Promise<Applied>),
    activate: each(async (change) => {
      await parts.activate(change);
      return undefined;
    }),
    announce: async (tx, created) => {
      for (const { record } of created) await announce(tx, "CREATE", record);
    },
  });
  const changes = createCountChanges({
    ...common,
    decide: parts.decide,
    creations,
    admit: () => Promise.resolve(),
    announce: (tx, { operation }, record) => announce(tx, operation, record),
    turns: { run: (work) => work() },
  });
  return {
    finish: (left) => changes.finish(left),
    mutate: async (mutation, request) => {
      const [answer] =
        mutation.operation === "CREATE"
          ? await creations.create([{ ...mutation, request, within: (work) => work() }])
          : [await changes.mutate(mutation, request)];
      if (answer === undefined || answer instanceof Error) throw answer;
      if ("refused" in answer) throw new Error(answer.refused);
      return answer;
    },
  };
}

/** Where a process may die, as parts of the saga that never come back. */
const crashes: Readonly<Record<string, (die: () => never) => Partial<Parts>>> = {
  "after it was accepted": (die) => ({ decide: async () => die() }),
  "after the counts store decided": (die) => ({
    decide: async (change) => {
      await decide(change);
      return die();
    },
  }),
  "in the transaction that makes it known": (die) => ({
    announce: async (tx, operation, record) => {
      await announceCount(service.publish, tx, operation, record);
      die();
    },
  }),
};
const die = (): never => {
  throw new Error("killed");
};

/** A creation among the other mutations. */
type Wanted = Pick<NewCount, "countId" | "content" | "initialValue"> & { readonly operation: "CREATE" };

let ids = 0;
const request = (requestId = ""): RequestIdentity => ({ principal: "p", requestId, fingerprint: new Uint8Array([1]) });
const content = { displayName: "d", labels: {}, minValue: undefined, maxValue: undefined };
const mutationOf = (operation: Operation, countId: string): Mutation | Wanted => {
  if (operation === "CREATE") return { operation, countId, content, initialValue: 5n };
  return operation === "UPDATE"
    ? { operation, countId, etag: "", patch: { maxValue: 9n } }
    : { operation, countId, etag: "" };
};
/** What has to happen before an operation is allowed. */
const before: Readonly<Record<Operation, readonly Operation[]>> = {
  CREATE: [],
  UPDATE: ["CREATE"],
  DELETE: ["CREATE"],
  UNDELETE: ["CREATE", "DELETE"],
};

/** A new Count on which `operation` is allowed. */
async function prepare(operation: Operation): Promise<string> {
  const countId = `c${(ids += 1)}`;
  for (const step of before[operation]) await sagaWith().mutate(mutationOf(step, countId), request());
  return countId;
}

/** Runs sweeps until nothing is under way. */
async function sweep(): Promise<void> {
  const sweeper = createSweeper({ infos, requests, changes: sagaWith(), clock: systemClock, log: silent, ageMs: 40 });
  await sweeper.start();
  try {
    await eventually(async () => {
      expect(await service.info.sql`SELECT count_id FROM count_change`).toHaveLength(0);
    });
  } finally {
    await sweeper.stop();
  }
}

/** How the stores and the events disagree about Counts that no change is under way for. */
async function disagreements(prefix = ""): Promise<readonly string[]> {
  const rows = await service.info.sql<{ count_id: string; state: string; version: string; max_value: string | null }[]>`
    SELECT * FROM count_info WHERE starts_with(count_id, ${prefix}) AND count_id NOT IN (SELECT count_id FROM count_change)`;
  const records = rows.length === 0 ? [] : await service.states.read(rows.map((row) => row.count_id));
  const events = Map.groupBy(await service.events(), ({ event }) => event.countId);
  return rows.flatMap((row, index) => {
    const found: string[] = [];
    const { record } = records[index] ?? {};
    if (row.state === "PENDING" || row.state === "DELETING") found.push(`${row.count_id} stays ${row.state}`);
    if (record?.state.toUpperCase() !== row.state) found.push(`${row.count_id} is ${row.state} and ${record?.state}`);
    const max = Number(row.max_value ?? Number.MAX_SAFE_INTEGER);
    if (record !== undefined && record.maxValue !== max) found.push(`${row.count_id} has two upper bounds`);
    const versions = (events.get(row.count_id) ?? []).map(({ event }) => Number(event.aggregateVersion));
    if (versions.at(-1) !== Number(row.version))
      found.push(`${row.count_id} is at ${row.version}, events at ${versions.at(-1)}`);
    if (versions.some((version, place) => version <= (versions[place - 1] ?? 0))) found.push(`${row.count_id} repeats`);
    return found;
  });
}

describe.each(Object.keys(before) as Operation[])("%s", (operation) => {
  test.each(Object.keys(crashes))("killed %s is finished by the sweeper, once", async (crash) => {
    const countId = await prepare(operation);
    const cut = sagaWith(crashes[crash]?.(die));
    expect(cut.mutate(mutationOf(operation, countId), request())).rejects.toMatchObject({
      code: "unavailable",
      reason: "OUTCOME_UNKNOWN",
    });
    await eventually(async () => {
      expect(await service.info.sql`SELECT 1 FROM count_change WHERE count_id = ${countId}`).toHaveLength(1);
    });
    if (operation === "CREATE") {
      expect(service.client.getCountInfo({ countId })).rejects.toThrow("not_found");
      expect(service.client.createCount({ countId })).rejects.toThrow("already_exists");
      expect(service.client.deleteCount({ countId })).rejects.toThrow("not_found");
      const { countInfos } = await service.client.listCounts({ prefix: countId });
      expect(countInfos).toEqual([]);
    }
    expect(await disagreements(countId)).toEqual([]);
    await sweep();
    expect(await disagreements(countId)).toEqual([]);
    const version = before[operation].length + 1;
    expect(await infos.get(countId)).toMatchObject({ version, state: operation === "DELETE" ? "DELETED" : "ACTIVE" });
  });

  test.each(Object.keys(crashes))("killed %s is finished by the same request_id, with its reply", async (crash) => {
    const countId = await prepare(operation);
    const requestId = crypto.randomUUID();
    const cut = sagaWith(crashes[crash]?.(die)).mutate(mutationOf(operation, countId), request(requestId));
    await cut.catch(() => undefined);
    const first = await sagaWith().mutate(mutationOf(operation, countId), request(requestId));
    expect(first.countInfo?.etag).toBe(`v${before[operation].length + 1}`);
    expect(await sagaWith({ decide: die }).mutate(mutationOf(operation, countId), request(requestId))).toEqual(first);
    expect(await disagreements(countId)).toEqual([]);
  });
});

/** Kills a creation at a point and says what each store holds of it. */
async function killedCreation(parts: Partial<Parts>, create = whole): Promise<string> {
  const countId = `c${(ids += 1)}`;
  await sagaWith(parts, create)
    .mutate(mutationOf("CREATE", countId), request())
    .catch(() => undefined);
  const [row] = await service.info.sql<{ state: string }[]>`SELECT state FROM count_info WHERE count_id = ${countId}`;
  const [read] = await service.states.read([countId]);
  const found = `${row?.state} ${read?.record?.state ?? "absent"}`;
  await sweep();
  expect(await disagreements(countId)).toEqual([]);
  return found;
}

test("a PENDING Count is never open for writes, and is opened by the sweeper when its creator was killed before", async () => {
  const found: string[] = [];
  for (const crash of Object.values(crashes)) found.push(await killedCreation(crash(die)));
  found.push(await killedCreation({ activate: async () => die() }));
  expect(found).toEqual(["PENDING absent", "PENDING pending", "PENDING pending", "ACTIVE pending"]);
});

test("a Count that was announced and not opened is opened before anything else happens to it", async () => {
  const countId = `c${(ids += 1)}`;
  const requestId = crypto.randomUUID();
  const cut = () => sagaWith({ activate: async () => die() }).mutate(mutationOf("CREATE", countId), request(requestId));
  expect(cut()).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
  expect(cut()).rejects.toMatchObject({ reason: "OUTCOME_UNKNOWN" });
  const { countInfo } = await sagaWith().mutate(mutationOf("UPDATE", countId), request());
  expect(countInfo).toMatchObject({ maxValue: 9n, etag: "v2" });
  const first = await sagaWith({ activate: async () => die() }).mutate(
    mutationOf("CREATE", countId),
    request(requestId),
  );
  expect(first.countInfo?.etag).toBe("v1");
  expect(await disagreements(countId)).toEqual([]);
});

test("a later change finishes an earlier one that was left half done", async () => {
  const countId = await prepare("UPDATE");
  const left = sagaWith({ decide: die }).mutate(mutationOf("UPDATE", countId), request());
  await left.catch(() => undefined);
  const { countInfo } = await sagaWith().mutate(mutationOf("DELETE", countId), request());
  expect(countInfo).toMatchObject({ maxValue: 9n, etag: "v3" });
  expect(await disagreements(countId)).toEqual([]);
});

test("a refused change that nobody withdrew is refused by the sweeper too, also when it would be admitted by then", async () => {
  const countId = await prepare("UPDATE");
  const narrow: Mutation = { operation: "UPDATE", countId, etag: "", patch: { maxValue: 4n } };
  const cut = sagaWith({ infos: { ...infos, end: die } }).mutate(narrow, request());
  await cut.catch(() => undefined);
  // What count-write does: the value falls, so that the bound would admit it now.
  const key = keysOf(shardOf(countId, fixtureShards)).states;
  const bytes = (await service.counts.client.hgetBuffer(key, countId)) as Buffer;
  bytes.writeDoubleLE(1, 1);
  await service.counts.client.hset(key, countId, bytes);
  await sweep();
  expect(await infos.get(countId)).toMatchObject({ version: 1, maxValue: undefined });
  expect(await disagreements(countId)).toEqual([]);
});

test("many that finish the same change at once do it once", async () => {
  const countId = await prepare("DELETE");
  await sagaWith({ decide: die })
    .mutate(mutationOf("DELETE", countId), request())
    .catch(() => undefined);
  const [change] = await infos.takeUp(0, 1);
  if (change === undefined) throw new Error("a change is left");
  const outcomes = await Promise.all(Array.from({ length: 8 }, () => sagaWith().finish([change])));
  expect(outcomes.flat()).toMatchObject(Array.from({ length: 8 }, () => ({ kind: "applied" })));
  expect(await disagreements(countId)).toEqual([]);
});

test("kill -9 of a process under load, three times: the stores and the events agree once the sweeper has run", async () => {
  const acknowledged: string[] = [];
  for (let round = 0; round < 3; round += 1) {
    const seed = Math.floor(Math.random() * 2 ** 31);
    console.log(`seed ${seed}`);
    const child = Bun.spawn([process.execPath, "run", childFile, service.infoUrl, service.redis.url, `${seed}`], {
      stdout: "pipe",
      stderr: "inherit",
    });
    let text = "";
    const decoder = new TextDecoder();
    for await (const chunk of child.stdout) {
      text += decoder.decode(chunk);
      if (text.split("\n").length > 60) child.kill("SIGKILL");
    }
    acknowledged.push(...text.split("\n").slice(0, -1));
  }
  await sweep();
  expect(await disagreements("k")).toEqual([]);
  const announced = new Set(
    (await service.events()).map(({ event }) => `${event.countId} ${Number(event.aggregateVersion)}`),
  );
  const unannounced = acknowledged.filter((line) => !announced.has(line.slice(line.indexOf(" ") + 1)));
  expect({ unannounced, some: acknowledged.length > 100 }).toEqual({ unannounced: [], some: true });
});

/** The saga with one of its files changed. */
async function mutantOf(file: "creations" | "rules", from: string, to: string): Promise<typeof whole> {
  const mutant = await importMutant<Partial<typeof whole>>(join(import.meta.dir, `${file}.ts`), from, to);
  return { ...whole, ...mutant };
}

describe("mutant", () => {
  test("a creation that is opened before it is known is found out", async () => {
    const known = "    steps = without(steps, await together(steps, makeKnown));\n";
    const open = "    steps = without(steps, await deps.activate(steps.map(({ change }) => change)));\n";
    const crash = crashes["in the transaction that makes it known"] as (typeof crashes)[string];
    expect(await killedCreation(crash(die), await mutantOf("creations", known + open, open + known))).toBe(
      "PENDING active",
    );
  });

  test.each(["CREATE", "UPDATE", "DELETE", "UNDELETE"] as const)(
    "%s made known before it is decided is found out",
    async (operation) => {
      const countId = await prepare(operation);
      const assumed = `{ kind: "applied" as const, value: 0n, revision: 0n, updateTimeMs: 0 }`;
      const mutant =
        operation === "CREATE"
          ? await mutantOf(
              "creations",
              "const decisions = await deps.decide(started.map(({ change }) => change));",
              `const decisions = started.map(() => (${assumed}));`,
            )
          : await mutantOf(
              "rules",
              "const decision = await deps.decide(change);",
              `const decision: Decision = ${assumed};`,
            );
      const broken = sagaWith({ decide: die, activate: async () => {} }, mutant);
      await broken.mutate(mutationOf(operation, countId), request());
      expect(await disagreements(countId)).not.toEqual([]);
    },
  );
});
