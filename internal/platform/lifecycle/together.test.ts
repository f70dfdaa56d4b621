import { expect, test } from "bun:test";
import type { Component } from "./component.ts";
import { createTogether } from "./together.ts";

async function failing(problem: string | undefined): Promise<void> {
  if (problem !== undefined) throw new Error(problem);
}

/** A component that notes what it is told, and fails where it is told to. */
function noted(name: string, notes: string[], fails: { start?: string; stop?: string } = {}): Component {
  return {
    name,
    start: () => {
      notes.push(`start ${name}`);
      return failing(fails.start);
    },
    stop: () => {
      notes.push(`stop ${name}`);
      return failing(fails.stop);
    },
  };
}

test("one that takes long to stop holds up no other", async () => {
  const notes: string[] = [];
  const slow = Promise.withResolvers<void>();
  const all = createTogether("all", [
    noted("a", notes),
    { name: "slow", start: () => Promise.resolve(), stop: () => slow.promise },
    noted("b", notes),
  ]);
  await all.start();
  const stopped = all.stop();
  expect(notes).toEqual(["start a", "start b", "stop a", "stop b"]);
  slow.resolve();
  await stopped;
  await all.stop();
  expect(notes).toHaveLength(4);
});

test("a failed start stops all and says why", async () => {
  const notes: string[] = [];
  const all = createTogether("all", [noted("a", notes), noted("b", notes, { start: "no port" })]);
  expect(await all.start().catch(String)).toBe("Error: no port");
  expect(notes).toEqual(["start a", "start b", "stop a", "stop b"]);
});

test("a failed stop stops the others and says why", async () => {
  const notes: string[] = [];
  const all = createTogether("all", [noted("a", notes, { stop: "stuck" }), noted("b", notes)]);
  await all.start();
  const error = await all.stop().catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ message: "all: some parts did not stop cleanly", errors: [new Error("stuck")] });
  expect(notes).toContain("stop b");
});
