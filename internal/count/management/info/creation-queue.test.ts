import { describe, expect, test } from "bun:test";
import { AsyncLocalStorage } from "node:async_hooks";
import { join } from "node:path";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { type Bulkhead, createBulkhead } from "../../../platform/rpc/client/create-bulkhead.ts";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { createCreationQueue } from "./creation-queue.ts";
import type { AskedCreation, Creation, CreationResult } from "./creations.ts";

type Create = typeof createCreationQueue;

/** Lets all have their turn at once. */
const open: Bulkhead = { run: (work) => work() };

/** Batches as they were sent, each answered when the test says so. */
function watched(create: Create, limits = { batchMax: 4, batchesMax: 2, promptMax: 3, waitingMax: 100 }, turns = open) {
  const sent: { readonly ids: string; readonly creations: readonly AskedCreation[]; answer(): Promise<void> }[] = [];
  const queue = create({
    limits,
    turns,
    batchSizes: { observe: () => {} },
    creations: {
      create: (creations) => {
        const { promise, resolve } = Promise.withResolvers<readonly CreationResult[]>();
        sent.push({
          ids: creations.map(({ countId, request }) => `${countId}${request.requestId}`).join(" "),
          creations,
          answer: async () => {
            resolve(creations.map(({ countId }) => new Error(countId)));
            for (let turn = 0; turn < 10; turn += 1) await Promise.resolve();
          },
        });
        return promise;
      },
    },
  });
  return { sent, queue, ids: () => sent.map(({ ids }) => ids) };
}

const content = { displayName: "", labels: {}, minValue: undefined, maxValue: undefined };
/** Of "a:1", Count "a" under the request ":1"; of "a" without one. */
function creationOf(text: string): Creation {
  const [countId = "", requestId] = text.split(":");
  const request = {
    principal: "p",
    requestId: requestId === undefined ? "" : `:${requestId}`,
    fingerprint: new Uint8Array(),
  };
  return { countId, content, initialValue: 0n, request };
}
const creationsOf = (text: string): readonly Creation[] => text.split(" ").map(creationOf);

/** The reason of an error, else its message. */
const wordOf = (result: CreationResult): string =>
  result instanceof MuinError ? result.reason : result instanceof Error ? result.message : "created";

/** Lets promises that are settled be heard of. */
const settle = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

async function checkBatches(create: Create): Promise<void> {
  const { sent, queue, ids } = watched(create);
  const heard: string[] = [];
  const ask = (text: string): void => {
    for (const creation of creationsOf(text)) void queue.create(creation).then((result) => heard.push(wordOf(result)));
  };
  ask("a");
  expect(ids()).toEqual(["a"]); // It finds nothing on its way.
  ask("b");
  expect(ids()).toEqual(["a"]); // No more than that batch has.
  ask("c");
  expect(ids()).toEqual(["a", "b c"]);
  ask("d e f g h");
  expect(ids()).toHaveLength(2); // No third one.
  await sent[1]?.answer();
  expect(ids()).toEqual(["a", "b c", "d e f g"]);
  expect(heard).toEqual(["b", "c"]);
  await sent[0]?.answer();
  await sent[2]?.answer();
  expect(ids()).toEqual(["a", "b c", "d e f g", "h"]);
  await sent[3]?.answer();
  expect(heard.slice(2)).toEqual(["a", "d", "e", "f", "g", "h"]);
}

/** What is alike takes turns in its order, and holds up nothing else. */
async function checkTurns(create: Create): Promise<void> {
  const { sent, queue, ids } = watched(create, { batchMax: 8, batchesMax: 2, promptMax: 7, waitingMax: 100 });
  void queue.createAll(creationsOf("a:1 b a:2 c:2 c:3 d:1 e"));
  // c:2 waits for a:2, and c:3 behind it; d:1 asks under the request of a:1.
  expect(ids()).toEqual(["a:1 b e"]);
  void queue.createAll(creationsOf("f g h a"));
  expect(ids()).toEqual(["a:1 b e", "f g h"]);
  await sent[1]?.answer();
  expect(ids()).toHaveLength(2);
  await sent[0]?.answer();
  expect(ids().slice(2)).toEqual(["a:2 d:1"]);
  await sent[2]?.answer();
  expect(ids().slice(3)).toEqual(["c:2 a"]);
  await sent[3]?.answer();
  expect(ids().slice(4)).toEqual(["c:3"]);
}

async function checkBound(create: Create): Promise<void> {
  const { queue, ids } = watched(create, { batchMax: 2, batchesMax: 1, promptMax: 1, waitingMax: 3 });
  void queue.createAll(creationsOf("a"));
  void queue.createAll(creationsOf("b c"));
  const heard: unknown[] = [];
  void queue.createAll(creationsOf("d e")).then((results) => heard.push(...results));
  await settle();
  void queue.create(creationOf("f"));
  void queue.create(creationOf("g")).catch((error: unknown) => heard.push(error));
  await settle();
  expect(heard).toHaveLength(3);
  for (const error of heard) expect(error).toMatchObject({ code: "resource_exhausted", reason: "OVERLOADED" });
  expect(ids()).toEqual(["a"]);
}

/** Who creates one waits for few that are on their way, and not for many. */
async function checkLone(create: Create): Promise<void> {
  const { sent, queue, ids } = watched(create);
  void queue.createAll(creationsOf("a b c"));
  void queue.create(creationOf("d"));
  expect(ids()).toEqual(["a b c"]);
  await sent[0]?.answer();
  expect(ids()).toEqual(["a b c", "d"]);
  await sent[1]?.answer();
  void queue.createAll(creationsOf("e f g h"));
  void queue.create(creationOf("i"));
  expect(ids().slice(2)).toEqual(["e f g h", "i"]);
}

/** However many callers create many, who creates one finds room and goes with what is next. */
async function checkShares(create: Create): Promise<void> {
  const turns = createBulkhead({ name: "batches", concurrentMax: 2, queueMax: 1, metrics: createMetrics() });
  const { sent, queue, ids } = watched(create, { batchMax: 2, batchesMax: 1, promptMax: 1, waitingMax: 5 }, turns);
  const heard: string[] = [];
  for (const text of ["a b c d", "e f g h", "i j k l", "m n o"]) {
    void queue.createAll(creationsOf(text)).then((results) => heard.push(results.map(wordOf).join(" ")));
  }
  void queue.create(creationOf("one")).then((result) => heard.push(wordOf(result)));
  await settle();
  expect(heard).toEqual(["OVERLOADED OVERLOADED OVERLOADED"]);
  await sent[0]?.answer();
  await settle();
  await sent[1]?.answer();
  await settle();
  expect(ids()).toEqual(["a b", "e f", "one i"]);
  for (let batch = 2; batch < 7; batch += 1) {
    await sent[batch]?.answer();
    await settle();
  }
  expect(heard.slice(1).toSorted()).toEqual(["a b c d", "e f g h", "i j k l", "one"]);
}

/** Each creation keeps the context of its call, and what is done for all has none. */
async function checkContext(create: Create): Promise<void> {
  const call = new AsyncLocalStorage<string>();
  const seen: (string | undefined)[] = [];
  const { queue, sent } = watched((options) =>
    create({
      ...options,
      creations: {
        create: (creations) => {
          seen.push(call.getStore());
          return options.creations.create(creations);
        },
      },
    }),
  );
  call.run("one", () => void queue.create(creationOf("a")));
  call.run("two", () => void queue.create(creationOf("b")));
  call.run("three", () => void queue.createAll(creationsOf("c")));
  expect(seen).toEqual([undefined, undefined]);
  expect(sent.flatMap(({ creations }) => creations.map(({ within }) => within(() => call.getStore())))).toEqual([
    "one",
    "two",
    "three",
  ]);
}

describe("creations that wait", () => {
  test("go together, the first at once", () => checkBatches(createCreationQueue));
  test("for one Count or under one request take turns", () => checkTurns(createCreationQueue));
  test("are bounded", () => checkBound(createCreationQueue));
  test("wait for few on their way, not for many", () => checkLone(createCreationQueue));
  test("of many leave room for one", () => checkShares(createCreationQueue));
  test("keep the context of their calls", () => checkContext(createCreationQueue));

  test.each<[string, (create: Create) => Promise<void>, string, string]>([
    ["a cap on the batches", checkBatches, "onTheirWay.size < batchesMax &&", ""],
    ["waiting for more than there is on its way", checkBatches, "waiting.length > length", "true"],
    ["an end of that for many", checkLone, "length > promptMax", "false"],
    ["that for few", checkLone, "length > promptMax", "true"],
    ["a bound of a batch", checkBatches, "batch.length < batchMax && ", ""],
    ["turns with what is on its way", checkTurns, "[...onTheirWay].flatMap(", "[].flatMap("],
    ["turns with those before", checkTurns, "for (const name of names) busy.add(name);", ""],
    ["turns under one request", checkTurns, "[countId, `${requestId}\\n${principal}`]", "[countId]"],
    ["a bound", checkBound, "waiting.length + asked.length > waitingMax", "false"],
    ["turns of those who create many", checkShares, "turns.run(() => create(part))", "create(part)"],
    ["a context apart", checkContext, "apart(sendWaiting)", "sendWaiting()"],
    ["the context of its call", checkContext, "const within = AsyncLocalStorage.snapshot();", "const within = apart;"],
  ])("are noticed to be without %s", async (_, check, rule, instead) => {
    const path = join(import.meta.dir, "creation-queue.ts");
    const mutant = await importMutant<{ createCreationQueue: Create }>(path, rule, instead);
    await caught(() => check(mutant.createCreationQueue));
  });
});
