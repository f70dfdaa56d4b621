import { describe, expect, test } from "bun:test";
import { createSequence, type Component } from "./component.ts";

describe("a sequence of components", () => {
  test("starts in order and stops in reverse", async () => {
    const seen: string[] = [];
    const sequence = createSequence("sequence", [recorder("a", seen), recorder("b", seen), recorder("c", seen)]);
    await sequence.start();
    await sequence.stop();
    expect(seen).toEqual(["start a", "start b", "start c", "stop c", "stop b", "stop a"]);
  });

  test("stops once however often it is asked", async () => {
    const seen: string[] = [];
    const sequence = createSequence("sequence", [recorder("a", seen)]);
    await sequence.start();
    await Promise.all([sequence.stop(), sequence.stop()]);
    expect(seen).toEqual(["start a", "stop a"]);
  });

  test("stops what had started when a start fails, and says why it failed", async () => {
    const seen: string[] = [];
    const broken: Component = {
      name: "broken",
      start: () => Promise.reject(new Error("no disk")),
      stop: async () => void seen.push("stop broken"),
    };
    const sequence = createSequence("sequence", [recorder("a", seen), broken, recorder("c", seen)]);
    expect(sequence.start()).rejects.toThrow("no disk");
    await sequence.stop();
    expect(seen).toEqual(["start a", "stop broken", "stop a"]);
  });

  test("stops the rest when one does not stop cleanly, and says so", async () => {
    const seen: string[] = [];
    const stuck: Component = {
      name: "stuck",
      start: async () => {},
      stop: () => Promise.reject(new Error("still writing")),
    };
    const sequence = createSequence("sequence", [recorder("a", seen), stuck]);
    await sequence.start();
    const failure = await sequence.stop().catch((error: unknown) => error);
    expect(failure).toBeInstanceOf(AggregateError);
    expect((failure as AggregateError).errors).toEqual([new Error("still writing")]);
    expect(seen).toEqual(["start a", "stop a"]);
  });
});

function recorder(name: string, seen: string[]): Component {
  return {
    name,
    start: async () => void seen.push(`start ${name}`),
    stop: async () => void seen.push(`stop ${name}`),
  };
}
