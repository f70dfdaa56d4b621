import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { openRedis, openRedisReader, type OpenRedis } from "../../platform/redis/open-redis.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import { sharedRedis, startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import { createChangeReader } from "./change-reader.ts";
import { type ChangeReader, isAtLeast } from "./change-stream.ts";

setDefaultTimeout(60_000);

type CreateReader = typeof createChangeReader;

let redis: TestRedis;
let store: OpenRedis;

beforeAll(async () => {
  redis = await sharedRedis();
  store = openRedis({ url: redis.url, name: "test" });
  await store.start();
});
afterAll(() => store.stop());

/** A stream of one's own, of numbers, read with the rights of a reader. */
async function open(create: CreateReader, url = redis.url) {
  const reading = openRedisReader({ url, name: "test" });
  await reading.start();
  const key = `changes:${crypto.randomUUID()}`;
  const reader: ChangeReader<number> = create({
    connection: reading.dedicated(),
    key,
    unpack: ([, number]) => Number(number),
    blockMs: 50,
  });
  await eventually(() => reader.end()); // It is connected.
  return {
    key,
    reader,
    add: async (number: number) => (await store.client.xadd(key, "*", "number", number)) as string,
    [Symbol.asyncDispose]: async () => {
      reader.stop();
      await reading.stop();
    },
  };
}

/** Whoever is behind what was removed is told; whoever is not reads on. */
async function checkTrimmed(create: CreateReader): Promise<void> {
  await using stream = await open(create);
  const { reader, key, add } = stream;
  const beginning = await reader.end();
  expect(beginning).toBe("0-0");
  const ids = [await add(1), await add(2), await add(3)] as const;
  expect(await reader.read(beginning)).toMatchObject({ kind: "read", position: ids[2] });
  await store.client.xtrim(key, "MAXLEN", 2);
  expect(await reader.read(beginning)).toEqual({ kind: "lost" });
  expect(await reader.read(ids[0])).toEqual({ kind: "lost" });
  expect(await reader.read(ids[1])).toMatchObject({ kind: "read", entries: [{ id: ids[2], change: 3 }] });
  await store.client.xtrim(key, "MAXLEN", 0);
  expect(await reader.end()).toBe(ids[2]);
  expect(await reader.read(ids[1])).toEqual({ kind: "lost" });
  expect(await reader.read(ids[2])).toEqual({ kind: "read", entries: [], position: ids[2] });
  await add(4);
  expect(await reader.read(ids[1])).toEqual({ kind: "lost" });
  expect(await reader.read(beginning)).toEqual({ kind: "lost" });
}

/** Whoever has read what a stream that was put back does not have is told, also once the stream is longer again. */
async function checkPutBack(create: CreateReader): Promise<void> {
  await using stream = await open(create);
  const { reader, key } = stream;
  for (const id of ["1-0", "2-0", "3-0"]) await store.client.xadd(key, id, "number", 1);
  await store.client.xdel(key, "2-0", "3-0"); // As an older file would have it.
  expect(await reader.read("3-0")).toEqual({ kind: "lost" });
  await store.client.xadd(key, "4-0", "number", 4);
  expect(await reader.read("3-0")).toEqual({ kind: "lost" });
  expect(await reader.read("5-0")).toEqual({ kind: "lost" });
  expect(await reader.read("1-0")).toMatchObject({ kind: "read", position: "4-0" });
  await store.client.unlink(key);
  expect(await reader.read("1-0")).toEqual({ kind: "lost" });
  expect(await reader.read("0-0")).toEqual({ kind: "read", entries: [], position: "0-0" });
}

describe("a reader of changes", () => {
  test("says that changes are gone", () => checkTrimmed(createChangeReader));

  test("says that the stream is not the one that it read", () => checkPutBack(createChangeReader));

  test("reads in order, in bounded parts, and waits for what comes", async () => {
    await using stream = await open(createChangeReader);
    const { reader, add } = stream;
    let position = await reader.end();
    const waiting = reader.read(position);
    const first = await add(0);
    expect(await waiting).toEqual({ kind: "read", entries: [{ id: first, change: 0 }], position: first });
    for (let number = 1; number <= 150; number += 1) await add(number);
    position = first;
    const seen: number[] = [];
    const sizes: number[] = [];
    for (;;) {
      const read = await reader.read(position);
      if (read.kind === "lost" || read.entries.length === 0) break;
      position = read.position;
      sizes.push(read.entries.length);
      seen.push(...read.entries.map(({ change }) => change));
    }
    expect(seen).toEqual(Array.from({ length: 150 }, (_, index) => index + 1));
    expect(sizes).toEqual([64, 64, 22]);
  });

  test("goes on after its connection was lost, and ends a wait when it is stopped", async () => {
    await using server = await startRedis();
    await using own = await open(createChangeReader, server.url);
    const writer = openRedis({ url: server.url, name: "test" });
    await writer.start();
    await using stack = new AsyncDisposableStack();
    stack.defer(() => writer.stop());
    const first = (await writer.client.xadd(own.key, "*", "number", 1)) as string;
    expect(await own.reader.read("0-0")).toMatchObject({ position: first });
    await server.kill("SIGKILL");
    expect(own.reader.read(first)).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
    await server.restart();
    const second = await eventually(() => writer.client.xadd(own.key, "*", "number", 2));
    const read = await eventually(() => own.reader.read(first));
    expect(read).toEqual({ kind: "read", entries: [{ id: second as string, change: 2 }], position: second as string });
    const waiting = own.reader.read(second as string);
    own.reader.stop();
    own.reader.stop();
    expect(waiting).rejects.toMatchObject({ reason: "STORE_UNAVAILABLE" });
  });

  test.each([
    [checkTrimmed, "entries === added", "true"],
    [checkTrimmed, "entries === 0 && position === lastId", "position === lastId || entries === 1"],
    [checkTrimmed, "entries === 0 && position === lastId", "false"],
    [checkTrimmed, 'lastId: String(field("last-generated-id"))', "lastId: beginning"],
    [checkPutBack, "present.length === 0 && !isWhole(position, await readState(connection, key))", "false"],
  ] as const)("is noticed to be broken: %p with %s as %s", async (check, rule, instead) => {
    const path = join(import.meta.dir, "change-reader.ts");
    const mutant = await importMutant<{ createChangeReader: CreateReader }>(path, rule, instead);
    await caught(() => check(mutant.createChangeReader));
  });
});

test.each([
  ["1-0", "1-0", true],
  ["1-1", "1-0", true],
  ["1-0", "1-1", false],
  ["10-0", "9-99", true],
  ["1-10", "1-9", true],
  ["0-0", "1-0", false],
  ["9007199254740993-0", "9007199254740992-1", true],
])("the place %s is at least %s: %p", (one, other, expected) => {
  expect(isAtLeast(one, other)).toBe(expected);
});
