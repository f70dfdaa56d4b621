import { expect, test } from "bun:test";
import { expectPromised, untilPromised } from "./promise.ts";

const lines: string[] = [];
const print = (line: string): void => void lines.push(line);

test("a promise is missed at five times its time, and no sooner", () => {
  expectPromised("late, and no more", 100, 499, print);
  expect(() => expectPromised("much too late", 100, 500, print)).toThrow("much too late");
  expect(lines).toEqual([
    "promised: late, and no more within 100 ms: took 499 ms",
    "promised: much too late within 100 ms: took 500 ms",
  ]);
});

test("who waits for a promise asks until it is kept, and gives up at five times its time", async () => {
  let asked = 0;
  await untilPromised("kept", 1000, () => Promise.resolve(++asked === 3), print);
  expect(asked).toBe(3);
  expect(untilPromised("never kept", 1, () => Promise.resolve(false), print)).rejects.toThrow("never kept");
});
