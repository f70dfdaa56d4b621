import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { startLossyProxy } from "../../../platform/testing/lossy-proxy.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { type CountFixture, createActive, openCounts } from "../count-fixture.ts";
import { type CountImports, createCountImports } from "./rules.ts";
import { callerIndexOf, keyOf } from "./name.ts";
import type { ImportIntent } from "./store.ts";
import type { MuinError } from "../../../platform/errors/muin-error.ts";

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

const me = "api_key:one";

/** A batch of one line per Count. */
function batchOf(sequence: number, countIds: readonly string[], delta = 1): ImportIntent {
  return {
    sequence,
    offsetEnd: sequence * 100,
    lines: countIds.length * delta,
    countIds,
    deltas: countIds.map(() => delta),
    assignments: countIds.map((countId) => [countId.toUpperCase(), countId] as const),
  };
}

const soon = (): number => performance.now() + 10_000;

type CreateImports = typeof createCountImports;

/** Imports with one rule broken in their own file or in one that it imports. */
async function brokenImports(rule: string, instead: string, file: string): Promise<CreateImports> {
  const own = join(import.meta.dir, "rules.ts");
  const path = join(import.meta.dir, file);
  const through = path === own ? [] : [own];
  return (await importMutant<{ createCountImports: CreateImports }>(path, rule, instead, through)).createCountImports;
}

/** Imports with Counts of their own, and with options and a beginning that no other test uses. */
async function open(options: { readonly url?: string; readonly create?: CreateImports } = {}) {
  const { url = redis.url, create = createCountImports } = options;
  const counts = await openCounts(url);
  const layout = await eventually(() => {
    const known = counts.writer.layout();
    if (known === undefined) throw new Error("the layout is not known yet");
    return known;
  });
  const prefix = crypto.getRandomValues(new Uint8Array(64));
  const optionsHash = crypto.getRandomValues(new Uint8Array(32));
  const name = crypto.randomUUID();
  const importsOf = (outboxBytesMax: number): CountImports =>
    create({
      store: counts.store,
      layout: () => layout,
      outboxBytesMax,
      importsPerCallerMax: 4,
      clock: systemClock,
      random: systemRandom,
    });
  const imports = importsOf(1e9);
  return {
    counts,
    layout,
    imports,
    /** Cut off as soon as a batch is kept, before anything of it is applied. */
    cutOff: importsOf(1),
    prefix,
    ids: (count: number) => Array.from({ length: count }, (_, place) => `${name}.${place}`),
    start: (options: { prefix?: Uint8Array; importId?: string; restart?: boolean } = {}, principal = me) =>
      imports.start(principal, { optionsHash, prefix, importId: "", restart: false, ...options }, soon()),
    [Symbol.asyncDispose]: () => counts[Symbol.asyncDispose](),
  };
}

async function valuesOf(counts: CountFixture, ids: readonly string[]): Promise<readonly (number | undefined)[]> {
  return (await counts.states.read(ids)).map(({ record }) => record?.value);
}

function apply(imports: CountImports, importId: string, batch: ImportIntent) {
  return imports.apply(me, importId, batch, soon());
}

async function checkFound(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const first = await one.start();
  expect(first).toMatchObject({ offset: 0, sequence: 0, lines: 0 });
  expect(one.start()).resolves.toEqual(first);
  const grown = Buffer.concat([one.prefix, new Uint8Array(100)]);
  expect(one.start({ prefix: grown })).resolves.toEqual(first);
  const other = Buffer.concat([new Uint8Array([1]), one.prefix]);
  expect(one.start({ prefix: other })).resolves.not.toMatchObject({ importId: first.importId });
  expect((await one.start({}, "api_key:two")).importId).not.toBe(first.importId);
  expect(one.imports.read("api_key:two", first.importId, 0, 10)).rejects.toMatchObject({
    code: "not_found",
    reason: "IMPORT_NOT_FOUND",
  });
  // Two beginnings at once are one import.
  const both = await Promise.all([0, 1].map(() => one.start({ prefix: other.subarray(0, 30) })));
  expect(both[0]?.importId).toBe(both[1]?.importId as string);
  // Nothing to be found by: each is its own.
  const empty = await Promise.all([0, 1].map(() => one.start({ prefix: new Uint8Array() })));
  expect(empty[0]?.importId).not.toBe(empty[1]?.importId as string);
}

function sha256(file: Uint8Array): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(new Bun.CryptoHasher("sha256").update(file).digest());
}

/** A file is known by what was counted of it too: two that began alike when they were first seen are two. */
async function checkCounted(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const [countId] = one.ids(1) as [string];
  await one.counts.seed(countId);
  const fileOf = (rest: string): Buffer => Buffer.concat([one.prefix, Buffer.from(rest)]);
  const [first, other] = [fileOf("KR,1\nKR,2\n"), fileOf("DE,1\nDE,2\nDE,3\n")];
  const counted = (sequence: number, file: Uint8Array): ImportIntent => ({
    ...batchOf(sequence, [countId]),
    offsetEnd: file.length,
    tailHash: sha256(file),
  });
  const { importId } = await one.start();
  const batch = counted(1, first);
  const done = await apply(one.imports, importId, batch);
  expect(await apply(one.imports, importId, batch)).toEqual(done);
  const there = { importId, offset: first.length, sequence: 1, lines: 1, tailHash: sha256(first) };
  expect(await one.start({ prefix: first })).toEqual(there);
  const otherId = (await one.start({ prefix: other })).importId;
  expect(otherId).not.toBe(importId);
  await apply(one.imports, otherId, counted(1, other));
  for (const grown of ["", "KR,3\n"]) {
    expect((await one.start({ prefix: Buffer.concat([first, Buffer.from(grown)]) })).importId).toBe(importId);
  }
  expect((await one.start({ prefix: other })).importId).toBe(otherId);
  // Shorter than what was counted: whoever reads the file sees it.
  expect(await one.start()).toEqual(there);
  // Begun anew, it takes nothing from the file that it began like.
  const anew = await one.start({ restart: true });
  expect(anew).toMatchObject({ offset: 0, sequence: 0 });
  expect((await one.start()).importId).toBe(anew.importId);
  expect(await one.start({ prefix: first })).toEqual(there);
  expect((await one.start({ prefix: other })).importId).toBe(otherId);
}

/** An import that an earlier version began is known by its beginning alone, until its next batch. */
async function checkOlder(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const [countId] = one.ids(1) as [string];
  await one.counts.seed(countId);
  const { importId } = await one.start();
  await apply(one.imports, importId, { ...batchOf(1, [countId]), tailHash: new Uint8Array(32) });
  const { client } = one.counts.store;
  const keys = await client.keys(`count:*:import:${keyOf(me, importId)}`);
  const home = keys.find((key) => /^count:\{\d+\}:import:/.test(key)) as string;
  expect(await client.hdel(home, "tail")).toBe(1);
  const grown = Buffer.concat([one.prefix, new Uint8Array(100)]);
  const found = { importId, offset: 100, sequence: 1, lines: 1 };
  expect(await one.start({ prefix: grown })).toEqual(found);
  await apply(one.imports, importId, batchOf(2, [countId]));
  expect(await one.start({ prefix: grown })).toEqual({ ...found, offset: 200, sequence: 2, lines: 2 });
  await apply(one.imports, importId, { ...batchOf(3, [countId]), tailHash: new Uint8Array(32).fill(7) });
  expect(await one.start({ importId })).toMatchObject({ offset: 300, tailHash: new Uint8Array(32).fill(7) });
  expect(await one.start({ importId, restart: true })).toEqual({ importId, offset: 0, sequence: 3, lines: 0 });
  expect(await valuesOf(one.counts, [countId])).toEqual([3]);
}

async function checkAnew(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const [countId] = one.ids(1) as [string];
  await one.counts.seed(countId);
  const first = await one.start();
  await apply(one.imports, first.importId, batchOf(1, [countId]));
  const anew = await one.start({ restart: true });
  expect(anew).toMatchObject({ offset: 0, sequence: 0, lines: 0 });
  expect(anew.importId).not.toBe(first.importId);
  expect((await one.start()).importId).toBe(anew.importId);
  const importId = crypto.randomUUID();
  await one.start({ importId });
  await apply(one.imports, importId, batchOf(1, [countId]));
  expect(await one.start({ importId })).toEqual({ importId, offset: 100, sequence: 1, lines: 1 });
  expect(await one.start({ importId, restart: true })).toEqual({ importId, offset: 0, sequence: 1, lines: 0 });
  await apply(one.imports, importId, batchOf(2, [countId]));
  expect(await valuesOf(one.counts, [countId])).toEqual([3]);
}

async function checkNamed(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const importId = crypto.randomUUID();
  await one.start({ importId });
  const other = new Uint8Array(32);
  const named = { prefix: one.prefix, importId, restart: false };
  expect(one.imports.start(me, { ...named, optionsHash: other }, soon())).rejects.toMatchObject({
    reason: "IMPORT_OPTIONS",
  });
  expect(one.start({ importId, prefix: other })).rejects.toMatchObject({ reason: "IMPORT_PREFIX" });
  expect(await one.start({ importId, prefix: new Uint8Array() })).toMatchObject({ importId });
}

async function checkOnce(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const ids = one.ids(1000);
  await one.counts.seed(...ids);
  const { importId } = await one.start();
  const first = await apply(one.imports, importId, batchOf(1, ids));
  expect(first).toEqual({ progress: { importId, offset: 100, sequence: 1, lines: 1000 }, refused: [] });
  expect(await apply(one.imports, importId, batchOf(1, ids))).toEqual(first);
  for (const batch of [batchOf(1, ids, 2), batchOf(3, ids), batchOf(0, ids)]) {
    expect(apply(one.imports, importId, batch)).rejects.toMatchObject({ code: "aborted", reason: "IMPORT_SEQUENCE" });
  }
  expect(new Set(await valuesOf(one.counts, ids))).toEqual(new Set([1]));
  const read = await one.imports.read(me, importId, 998, 10);
  expect(read.assignments).toEqual(ids.slice(998).map((countId) => [countId.toUpperCase(), countId]));
}

async function checkWhole(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const [a, missing, pending, deleted, bounded] = one.ids(5) as [string, string, string, string, string];
  await one.counts.seed(a, deleted);
  await one.counts.states.remove({ countId: deleted, infoRevision: 2 });
  await createActive(one.counts.states, { countId: bounded, initialValue: 0, maxValue: 0 });
  await one.counts.states.create({ countId: pending, infoRevision: 1, initialValue: 0 });
  const { importId } = await one.start();
  const cases = [
    [missing, "not_found", "COUNT_NOT_FOUND"],
    [pending, "not_found", "COUNT_NOT_FOUND"],
    [deleted, "failed_precondition", "COUNT_DELETED"],
    [bounded, "out_of_range", "VALUE_OUT_OF_RANGE"],
  ] as const;
  for (const [countId, code, reason] of cases) {
    expect(apply(one.imports, importId, batchOf(1, [a, countId]))).rejects.toMatchObject({
      code,
      reason,
      metadata: { count_ids: countId, count: "1" },
    });
  }
  expect(await valuesOf(one.counts, [a])).toEqual([0]);
  expect(await apply(one.imports, importId, batchOf(1, [a]))).toMatchObject({ progress: { sequence: 1 } });
}

async function checkStuck(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const [a, b] = one.ids(2) as [string, string];
  await one.counts.seed(a, b);
  const { importId } = await one.start();
  // The Count goes as soon as the batch is kept.
  expect(apply(one.cutOff, importId, batchOf(1, [a, b]))).rejects.toMatchObject({ reason: "OUTBOX_FULL" });
  await one.counts.states.remove({ countId: b, infoRevision: 2 });
  const answer = await apply(one.imports, importId, batchOf(1, [a, b]));
  expect(answer).toEqual({
    progress: { importId, offset: 100, sequence: 1, lines: 2 },
    refused: [{ countId: b, delta: 1, reason: "COUNT_DELETED" }],
  });
  expect(await apply(one.imports, importId, batchOf(1, [a, b]))).toEqual(answer);
  expect(await valuesOf(one.counts, [a, b])).toEqual([1, 0]);
  expect(await one.start()).toMatchObject({ importId, sequence: 1 });
}

/** A batch that was cut off is brought to its end by whoever begins the import again, once. */
async function checkCutOff(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const ids = one.ids(8);
  await one.counts.seed(...ids);
  const { importId } = await one.start();
  for (const [batch, name] of ["", importId].entries()) {
    const sequence = 2 * batch + 1;
    const cutOff = apply(one.cutOff, importId, batchOf(sequence, ids));
    expect(cutOff).rejects.toMatchObject({ reason: "OUTBOX_FULL" });
    expect(new Set(await valuesOf(one.counts, ids))).toEqual(new Set([sequence - 1]));
    const there = { importId, offset: sequence * 100, sequence, lines: sequence * 8 };
    expect(await one.start({ importId: name })).toEqual(there);
    expect(await one.start({ importId: name })).toEqual(there);
    expect(apply(one.imports, importId, batchOf(sequence + 1, ids))).resolves.toMatchObject({
      progress: { sequence: sequence + 1 },
    });
    expect(new Set(await valuesOf(one.counts, ids))).toEqual(new Set([sequence + 1]));
  }
}

/** More writes to one shard than one call of the script takes, remembered for ever, and no way back. */
async function checkForEver(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const ids = one.ids(3000).filter((id) => one.counts.writer.shardOf(id) === 0);
  expect(ids.length).toBeGreaterThan(512);
  const own = ids.slice(0, 562);
  await one.counts.seed(...own);
  const { client } = one.counts.store;
  const before = new Set(await client.keys("count:*import*"));
  const ofCaller = `count:{${one.counts.writer.shardOf(callerIndexOf(me))}}:imports:${callerIndexOf(me)}`;
  const { importId } = await one.start();
  await apply(one.imports, importId, batchOf(1, own));
  expect(new Set(await valuesOf(one.counts, own))).toEqual(new Set([1]));
  expect(apply(one.imports, importId, { ...batchOf(2, own), offsetEnd: 99 })).rejects.toMatchObject({
    code: "invalid_argument",
    reason: "IMPORT_OFFSET",
  });
  // Its places among those of its options and among all of its caller, its home, its values, and its memory as a writer.
  const keys = (await client.keys("count:*import*")).filter((key) => !before.has(key));
  expect(keys.length).toBe(5 - Number(before.has(ofCaller)));
  for (const key of keys) expect(await client.pttl(key)).toBe(-1);
}

/** An instance works on so many batches at once, and goes on when they are done. */
async function checkLimit(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const callers = [...Array<string>(6).fill("api_key:greedy"), "api_key:two", "api_key:two", "api_key:three", me, me];
  const starts = await Promise.allSettled(callers.map((principal) => one.start({}, principal)));
  const refused = starts.map((start) => (start.status === "rejected" ? (start.reason as MuinError).reason : ""));
  const busy = "IMPORTS_OF_CALLER_BUSY";
  expect(refused).toEqual(["", "", "", "", busy, busy, "", "", "", "", "OVERLOADED"]);
  expect(one.start()).resolves.toMatchObject({ sequence: 0 });
}

/** A caller has so many imports and no more, whatever their options; those that there are go on, and so do others'. */
async function checkCallersImports(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const principal = `api_key:${crypto.randomUUID()}`;
  await one.start({ importId: "first" }, principal);
  const index = callerIndexOf(principal);
  const others = Object.fromEntries(Array.from({ length: 9999 }, (_, place) => [`0:${place}`, "other"]));
  await one.counts.store.client.hset(`count:{${one.counts.writer.shardOf(index)}}:imports:${index}`, others);
  const outcomeOf = (principal: string, importId: string): Promise<string> =>
    one.start({ importId }, principal).then(
      () => "begun",
      (error: unknown) => (error as MuinError).reason,
    );
  expect(await outcomeOf(principal, "second")).toBe("IMPORTS_OF_CALLER_FULL");
  const { client } = one.counts.store;
  const before = (await client.keys("count:*import*")).length;
  expect(await outcomeOf(principal, "")).toBe("IMPORTS_OF_CALLER_FULL");
  expect((await client.keys("count:*import*")).length).toBe(before);
  expect(await outcomeOf(principal, "first")).toBe("begun");
  expect(await outcomeOf(`${principal}-other`, "second")).toBe("begun");
}

/** A restart lets go of what the import before it had kept, without holding up the server. */
async function checkRemoval(create?: CreateImports): Promise<void> {
  await using one = await open(create === undefined ? {} : { create });
  const ids = one.ids(8);
  await one.counts.seed(...ids);
  const importId = crypto.randomUUID();
  await one.start({ importId });
  await apply(one.imports, importId, batchOf(1, ids));
  await one.counts.store.client.config("RESETSTAT");
  await one.start({ importId, restart: true });
  expect((await one.imports.read(me, importId, 0, 10)).assignments).toEqual([]);
  const stats = await one.counts.store.client.info("commandstats");
  expect(stats).toContain("cmdstat_unlink:");
  expect(stats).not.toContain("cmdstat_del:");
}

describe("an import", () => {
  test.each([
    ["is found again by the beginning of its file, also when the file has grown, by its caller alone", checkFound],
    ["is found again by what was counted of its file, where two files began alike", checkCounted],
    ["that an earlier version began goes on", checkOlder],
    ["begins anew when it is told to", checkAnew],
    ["that was named refuses other options and another file", checkNamed],
    ["applies each batch once, 1000 writes over all shards, and keeps its assignments in order", checkOnce],
    ["refuses a batch whole when a Count of it would refuse its write, and goes on from there", checkWhole],
    ["is never stuck: a Count deleted after the batch had begun is named, and the import goes on", checkStuck],
    ["that was cut off is brought to its end by whoever begins it again, once", checkCutOff],
    ["is remembered for ever, applies more writes of one shard than one call takes, and never goes back", checkForEver],
    ["is refused beyond what an instance works on at once", checkLimit],
    ["lets go of what it kept without holding up the server", checkRemoval],
  ])("%s", async (_, check) => {
    await check();
  });

  test.each([
    ["other options", checkNamed, "rules.ts", "!record.optionsHash.equals(optionsHash)", "false"],
    ["another file", checkNamed, "rules.ts", "!hashOf(own).equals(record.prefixHash)", "false"],
    ["another beginning", checkFound, "find.ts", "return own.equals(hash);", "return true;"],
    [
      "another caller's name",
      checkFound,
      "name.ts",
      "hashOf(Buffer.from(`${principal}\\0${importId}`))",
      "hashOf(Buffer.from(importId))",
    ],
    ["another caller's file", checkFound, "find.ts", "Buffer.from(`${principal}\\0`)", "Buffer.from('')"],
    ["two beginnings at once", checkFound, "store-redis.ts", "if #ARGV == 3 and standing then return standing end", ""],
    ["what was counted", checkCounted, "find.ts", "if (isOther) continue;", ""],
    [
      "what was counted of a longer file",
      checkCounted,
      "find.ts",
      "counted !== undefined && counted.bytes > prefix.length)",
      "counted === null)",
    ],
    ["what is counted", checkCounted, "store-redis.ts", "'tail', ARGV[5])", "'tail', '')"],
    [
      "a batch without its bytes",
      checkOlder,
      "store-redis.ts",
      "'tail', ARGV[5])",
      "'tail', ARGV[5] ~= '' and ARGV[5] or 'x')",
    ],
    ["the bytes of a restart", checkOlder, "store-redis.ts", "'lines', '0', 'tail', '',", "'lines', '0',"],
    ["a restart", checkAnew, "find.ts", "if (!restart) return found.importId;", "return found.importId;"],
    ["a restart by name", checkAnew, "store-redis.ts", "sequence or '0', 'lines'", "'0', 'lines'"],
    [
      "another content",
      checkOnce,
      "rules.ts",
      " && record.lastHash.equals(hash)) return answer(record)",
      ") return answer(record)",
    ],
    ["the order of values", checkOnce, "store-redis.ts", "'RPUSH'", "'LPUSH'"],
    ["Counts that would refuse", checkWhole, "rules.ts", "await persist(deadlineMs, () => batches.check(batch));", ""],
    [
      "Counts that did refuse",
      checkStuck,
      "rules.ts",
      "imports().complete(key, batch, refused)",
      "imports().complete(key, batch, [])",
    ],
    [
      "a batch that was cut off",
      checkCutOff,
      "rules.ts",
      "let record = await finish(key, deadlineMs);",
      "let record = await imports().read(key);",
    ],
    [
      "a batch that was done",
      checkCutOff,
      "store-redis.ts",
      "redis.call('HDEL', KEYS[1], 'intent', 'intent_hash')",
      "",
    ],
    ["parts of a batch", checkForEver, "kept-batches.ts", "batch.sequence * partsMax + part", "batch.sequence"],
    ["its memory", checkForEver, "kept-batches.ts", "memoryMs: 0,", "memoryMs: 3_600_000,"],
    ["the way back", checkForEver, "rules.ts", "batch.offsetEnd < record.offset", "false"],
    ["its limit", checkLimit, "rules.ts", "if (working >= batchesMax) throw countWriteErrors.overloaded();", ""],
    [
      "each caller's limit",
      checkLimit,
      "rules.ts",
      "if (own >= perCallerMax) throw countWriteErrors.importsOfCallerBusy();",
      "",
    ],
    [
      "the bound of a caller's imports",
      checkCallersImports,
      "rules.ts",
      "if (record === undefined) await enterOfCaller(principal, importId, deadlineMs);",
      "",
    ],
    [
      "what a refused import leaves behind",
      checkCallersImports,
      "find.ts",
      "await deps.enterOfCaller(principal, fresh, deadlineMs);",
      "",
    ],
    ["its limit's end", checkLimit, "rules.ts", "working -= 1;", ""],
    ["large keys", checkRemoval, "store-redis.ts", "'UNLINK'", "'DEL'"],
    ["what it had kept", checkRemoval, "store-redis.ts", "redis.call('UNLINK', KEYS[2])", ""],
  ] as const)("is noticed to be blind to %s", async (_, check, file, rule, instead) => {
    const mutant = await brokenImports(rule, instead, file);
    await caught(() => check(mutant));
  });
});

/** Loses a reply to each batch, to a command further on each time. */
async function checkLostReplies(create = createCountImports): Promise<void> {
  using proxy = startLossyProxy(redis.port);
  await using one = await open({
    url: redis.url.replace(`:${redis.port}`, `:${proxy.port}`),
    create,
  });
  const ids = one.ids(8);
  await one.counts.seed(...ids);
  const { importId } = await one.start();
  for (let sequence = 1; sequence <= 12; sequence += 1) {
    proxy.loseReply(sequence % 6);
    expect(await apply(one.imports, importId, batchOf(sequence, ids))).toMatchObject({
      progress: { sequence, offset: sequence * 100 },
    });
  }
  expect(proxy.lost()).toBe(12);
  expect(new Set(await valuesOf(one.counts, ids))).toEqual(new Set([12]));
}

describe("an import whose replies are lost", () => {
  test("counts each line once", async () => {
    await checkLostReplies();
    const mutant = await brokenImports(
      "if memory[place + 2] == sequence then",
      "if false then",
      "../write/store-redis.ts",
    );
    await caught(() => checkLostReplies(mutant));
  });
});

describe("an import that was cut off", () => {
  test("is brought to its end by whoever comes next, once, also after Redis was killed", async () => {
    await using own = await startRedis();
    await using one = await open({ url: own.url });
    const ids = one.ids(40);
    await one.counts.seed(...ids);
    let { importId, sequence } = await one.start();
    for (let kill = 0; kill < 3; kill += 1) {
      const applying = apply(one.imports, importId, batchOf(sequence + 1, ids)).catch((error: unknown) => error);
      await own.kill("SIGKILL");
      await own.restart();
      await applying;
      // A new process finds the import and goes on where it stands.
      const next = await eventually(() => one.start());
      expect(next.importId).toBe(importId);
      ({ importId, sequence } = next);
      expect(new Set(await valuesOf(one.counts, ids))).toEqual(new Set([sequence]));
      await apply(one.imports, importId, batchOf(sequence + 1, ids));
      sequence += 1;
    }
    expect(new Set(await valuesOf(one.counts, ids))).toEqual(new Set([sequence]));
    const changes = await one.counts.outbox();
    for (const countId of ids) {
      const changesOf = changes.filter((change) => change.countId === countId);
      expect(changesOf.reduce((sum, { delta }) => sum + delta, 0n)).toBe(BigInt(sequence));
    }
  });
});
