import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { createImportStore } from "./store-redis.ts";
import type { ImportIntent } from "./store.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

type CreateStore = typeof createImportStore;

async function broken(rule: string, instead: string): Promise<CreateStore> {
  const path = join(import.meta.dir, "store-redis.ts");
  return (await importMutant<{ createImportStore: CreateStore }>(path, rule, instead)).createImportStore;
}

function hashOf(text: string): Buffer {
  return Buffer.from(Bun.SHA256.hash(text).buffer);
}

function batchOf(sequence: number, countId: string): ImportIntent {
  const assignments = [[countId.toUpperCase(), countId]] as const;
  return { sequence, offsetEnd: sequence * 100, lines: 10, countIds: [countId], deltas: [10], assignments };
}

/** An import that was opened. */
async function open(create: CreateStore) {
  const store = openRedis({ url: redis.url, name: "test" });
  await store.start();
  const imports = create(store, 4);
  const key = hashOf(crypto.randomUUID()).toString("hex");
  const prefix = { bytes: 3, hash: hashOf("abc") };
  await imports.open(key, hashOf("options"), prefix, false);
  return { store, imports, key, prefix, [Symbol.asyncDispose]: () => store.stop() };
}

/** Two processes on the same import: one batch at a time, whatever comes late or twice. */
async function checkSteps(create: CreateStore): Promise<void> {
  await using opened = await open(create);
  const { imports, key, prefix } = opened;
  const [first, other, second] = [batchOf(1, "a"), batchOf(1, "b"), batchOf(2, "c")];
  expect(await imports.begin(key, second, hashOf("second"))).toBe("out_of_sequence");
  expect(await imports.begin(key, first, hashOf("first"))).toBe("begun");
  expect(await imports.begin(key, first, hashOf("first"))).toBe("begun");
  expect(await imports.begin(key, other, hashOf("other"))).toBe("out_of_sequence");
  expect((await imports.read(key))?.intent).toEqual({ hash: hashOf("first"), batch: first });
  await imports.complete(key, first, []);
  expect(await imports.begin(key, first, hashOf("first"))).toBe("out_of_sequence");
  expect(await imports.begin(key, second, hashOf("second"))).toBe("begun");
  await imports.complete(key, first, []); // A copy that comes late.
  await imports.open(key, hashOf("options"), prefix, true); // What has begun is brought to its end first.
  const between = await imports.read(key);
  expect(between).toMatchObject({ sequence: 1, offset: 100, lines: 10, intent: { batch: second } });
  await imports.complete(key, second, []);
  await imports.complete(key, second, []);
  expect(await imports.read(key)).toMatchObject({ sequence: 2, offset: 200, lines: 20, intent: undefined });
  expect(await imports.assignments(key, 0, 9)).toEqual([...first.assignments, ...second.assignments]);
}

/** A batch is not half completed when its values cannot be kept. */
async function checkFirst(create: CreateStore): Promise<void> {
  await using opened = await open(create);
  const { store, imports, key } = opened;
  await imports.begin(key, batchOf(1, "a"), hashOf("first"));
  const [home] = (await store.client.keys(`count:*:import:${key}`)) as [string];
  await store.client.set(`${home}:values`, "not what belongs here");
  const before = await store.client.hgetall(home);
  expect(imports.complete(key, batchOf(1, "a"), [])).rejects.toThrow("WRONGTYPE");
  expect(await store.client.hgetall(home)).toEqual(before);
}

describe("the steps of an import", () => {
  test("are taken once and in order", () => checkSteps(createImportStore));

  test("are taken whole or not at all", () => checkFirst(createImportStore));

  test.each([
    [
      "one batch at a time",
      checkSteps,
      "if intent_hash then return intent_hash == ARGV[3] and 'begun' or 'out_of_sequence' end",
      "",
    ],
    ["the sequence", checkSteps, "tonumber(ARGV[1]) ~= tonumber(sequence) + 1", "false"],
    ["what has begun", checkSteps, " or redis.call('HEXISTS', KEYS[1], 'intent') == 1", ""],
    ["late copies", checkSteps, "if tonumber(sequence) + 1 ~= tonumber(ARGV[1]) then return 0 end", ""],
    ["looking first", checkFirst, "tonumber(ARGV[3]))\nredis.call('LLEN', KEYS[2])", "tonumber(ARGV[3]))"],
  ])("are noticed to be wrong without %s", async (_, check, rule, instead) => {
    const create = await broken(rule, instead);
    await caught(() => check(create));
  });
});

describe("imports", () => {
  test("are bounded, each in its values and all that one caller has with the same options", async () => {
    await using narrow = await open(await broken("const assignmentsMax = 1_000_000;", "const assignmentsMax = 1;"));
    expect(await narrow.imports.begin(narrow.key, batchOf(1, "a"), hashOf("first"))).toBe("begun");
    await narrow.imports.complete(narrow.key, batchOf(1, "a"), []);
    expect(await narrow.imports.begin(narrow.key, batchOf(2, "b"), hashOf("second"))).toBe("full");
    await using few = await open(await broken("const importsMax = 10_000;", "const importsMax = 1;"));
    const [index, other] = [few.key, { bytes: 3, hash: hashOf("other") }];
    expect(await few.imports.enter(index, few.prefix, "one", [])).toBe("one");
    expect(await few.imports.enter(index, other, "two", [])).toBeUndefined();
    expect(await few.imports.enter(index, few.prefix, "three", [])).toBe("one");
    expect(await few.imports.enter(index, few.prefix, "four", [few.prefix])).toBe("four");
  });
});
