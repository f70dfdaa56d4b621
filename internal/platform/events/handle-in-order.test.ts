import { expect, test } from "bun:test";
import { join } from "node:path";
import { createHeldClock } from "../testing/held-clock.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { handleInOrder } from "./handle-in-order.ts";
import type { EventRecord } from "../service/event-record.ts";

/** An event whose name is its key and a number, such as "a1". */
interface Item {
  readonly name: string;
  readonly record: EventRecord;
}

const inOrder = async (handle: typeof handleInOrder): Promise<void> => {
  const run = begin(handle, ["a1", "b1", "a2", "x1", "b2"]);
  expect(run.begun).toEqual(["a1", "b1"]);
  await run.end("b1");
  expect(run.begun).toEqual(["a1", "b1", "b2"]);
  await run.end("b2");
  await run.end("a1");
  expect(run.begun).toEqual(["a1", "b1", "b2", "a2"]);
  await run.end("a2");
  expect(await run.outcome).toBe("done");
};

const behindTheHandled = async (handle: typeof handleInOrder): Promise<void> => {
  const run = begin(handle, ["a1", "b1", "x1", "c1"]);
  await run.end("b1");
  await run.clock.pass(500);
  expect(run.told).toEqual([]);
  await run.end("a1");
  await run.clock.pass(500);
  expect(run.told).toEqual(["x1"]);
  await run.end("c1");
  expect(await run.outcome).toBe("done");
  expect(run.told).toEqual(["x1", "c1"]);
};

const firstFailure = async (handle: typeof handleInOrder): Promise<void> => {
  const run = begin(handle, ["a1", "b1", "c1", "c2", "b2"]);
  await run.end("a1");
  await run.end("b1", new Error("b1 failed"));
  await run.end("c1");
  expect(run.begun).toEqual(["a1", "b1", "c1"]);
  expect(await run.outcome).toBe("b1 failed");
  expect(run.told).toEqual(["a1"]);
};

const refusedProgress = async (handle: typeof handleInOrder): Promise<void> => {
  const run = begin(handle, ["a1", "b1", "b2"], new Error("another has taken over"));
  await run.end("a1");
  await run.clock.pass(500);
  await run.end("b1");
  expect(run.begun).toEqual(["a1", "b1"]);
  expect(await run.outcome).toBe("another has taken over");
};

const rules: readonly (readonly [rule: string, check: typeof inOrder, from: string, to: string])[] = [
  [
    "one key's items come one at a time, others' beside them",
    inOrder,
    "for (const item of chain) {",
    "for (const item of chain.toReversed()) {",
  ],
  ["progress stands behind what was handled", behindTheHandled, "&& !open.has(items[handled] as T)", ""],
  [
    "the first failure ends it, and what was done before it counts",
    firstFailure,
    "if (failure !== undefined) return;",
    "",
  ],
  [
    "a refused progress ends it",
    refusedProgress,
    "tellMeanwhile().catch(fail)",
    "tellMeanwhile().catch(() => undefined)",
  ],
];

test.each(rules)("%s", async (_, check) => check(handleInOrder));

test.each(rules)("mutant: without the rule that %s, a check fails", async (_, check, from, to) => {
  const file = join(import.meta.dir, "handle-in-order.ts");
  const mutant = await importMutant<{ handleInOrder: typeof handleInOrder }>(file, from, to);
  await caught(() => check(mutant.handleInOrder));
});

test("of very many keys not all are handled at the same time", async () => {
  const names = Array.from({ length: 40 }, (_, index) => `${String.fromCodePoint(0x4e00 + index)}1`);
  const run = begin(handleInOrder, names);
  expect(run.begun).toEqual(names.slice(0, 16));
  for (const name of names) await run.end(name);
  expect(await run.outcome).toBe("done");
});

/** Begins to handle items; those whose key is "x" are not wanted. */
function begin(handle: typeof handleInOrder, names: readonly string[], refusal?: Error) {
  const clock = createHeldClock();
  const begun: string[] = [];
  const told: string[] = [];
  const ends = new Map<string, PromiseWithResolvers<void>>();
  const items = names.map((name) => ({ name, record: { subject: name.slice(0, 1) } as EventRecord }));
  const outcome = handle<Item>(items, {
    isWanted: ({ record }) => record.subject !== "x",
    handle: ({ name }) => {
      begun.push(name);
      const end = Promise.withResolvers<void>();
      ends.set(name, end);
      return end.promise;
    },
    progress: ({ name }) => {
      told.push(name);
      return refusal === undefined ? Promise.resolve() : Promise.reject(refusal);
    },
    clock,
  }).then(
    () => "done",
    (error: unknown) => (error instanceof Error ? error.message : "no error"),
  );
  return {
    clock,
    begun,
    told,
    outcome,
    /** Ends the handling of an item; resolves when what follows from it has happened. */
    end: async (name: string, failure?: Error): Promise<void> => {
      const end = ends.get(name);
      if (failure === undefined) end?.resolve();
      else end?.reject(failure);
      await new Promise((resolve) => void setImmediate(resolve));
    },
  };
}
