import { expect, test } from "bun:test";
import { join } from "node:path";
import { importMutant } from "../../testing/mutant.ts";
import * as real from "./strangers.ts";

const limits = {
  strangersPerNetworkMax: 2,
  strangersMax: 4,
  strangerStreamsPerNetworkMax: 3,
  strangerStreamsMax: 5,
};

/** A book, and the names of those that it closed. */
function createBook({ createStrangers } = real) {
  const book = createStrangers(limits);
  const closed: string[] = [];
  return { closed, enter: (name: string) => book.enter(name.slice(0, 1), () => closed.push(name)) };
}

/** The first letter of a name is its network. */
function placesAreFair(module = real): void {
  const { enter, closed } = createBook(module);
  enter("a1");
  enter("a2");
  enter("b1").leave();
  enter("a3");
  expect(closed).toEqual(["a1"]);
  enter("c1");
  enter("d1");
  expect(closed).toEqual(["a1"]);
  enter("e1");
  expect(closed).toEqual(["a1", "a2"]);
}

function streamsAreBounded(module = real): void {
  const { enter, closed } = createBook(module);
  const [a1, a2, b1, c1] = [enter("a1"), enter("a2"), enter("b1"), enter("c1")];
  expect([a1.open(), a2.open(), a2.open(), a1.open()]).toEqual([true, true, true, false]);
  a1.end();
  expect([a2.open(), a1.open()]).toEqual([true, false]);
  expect([b1.open(), c1.open()]).toEqual([true, true]);
  expect(closed).toEqual([]);
  expect(c1.open()).toBe(true);
  expect(closed).toEqual(["a2"]);
  expect([a2.open(), a1.open()]).toEqual([false, true]);
}

test("a network has so many connections, and so have all together: the oldest of whoever has most gives way", () => {
  placesAreFair();
});

test("a network has so many streams, and so have all together: the connection with most of them gives way", () => {
  streamsAreBounded();
});

test("who left takes no place and is closed by nobody", () => {
  const { enter, closed } = createBook();
  const a1 = enter("a1");
  expect([a1.open(), a1.open(), a1.open()]).toEqual([true, true, true]);
  a1.leave();
  a1.leave();
  a1.end();
  const [a2, a3] = [enter("a2"), enter("a3")];
  expect([a2.open(), a2.open(), a3.open(), a3.open()]).toEqual([true, true, true, false]);
  expect(closed).toEqual([]);
});

test.each<readonly [what: string, from: string, to: string, check: (module: typeof real) => void]>([
  ["a network's connections", "own.connections.size > limits.strangersPerNetworkMax", "false", placesAreFair],
  ["all connections", "total.connections > limits.strangersMax", "false", placesAreFair],
  ["a network's streams", "own.streams >= limits.strangerStreamsPerNetworkMax", "false", streamsAreBounded],
  ["all streams", "total.streams > limits.strangerStreamsMax", "false", streamsAreBounded],
  ["streams that end", "if (isIn()) count(-1)", "", streamsAreBounded],
  ["who has most", "amount > found.amount", "false", streamsAreBounded],
])("mutant: without %s the test fails", async (_, from, to, check) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "strangers.ts"), from, to);
  expect(() => check(mutant)).toThrow();
});
