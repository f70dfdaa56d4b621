import { expect, test } from "bun:test";
import { createTestOutput, fileEnded } from "./test-output.ts";

test("a last test that is told of after its file's end is not lost", () => {
  const printed: string[] = [];
  const output = createTestOutput({ workers: 2, print: (line) => printed.push(line) });
  const lines = [
    "",
    "a.test.ts:",
    "error: broken",
    fileEnded,
    "at a.test.ts:1",
    "(fail) last [1.00ms]",
    "",
    "1 tests failed:",
    "(fail) last [1.00ms]",
    " 1 fail",
    "Ran 1 test across 1 file.",
  ];
  for (const line of lines) output.line(line);
  expect(output.end()).toMatchObject({
    failed: [{ file: "a.test.ts", text: "error: broken\nat a.test.ts:1\n(fail) last [1.00ms]" }],
    isComplete: true,
  });
  expect(printed).toEqual(["\na.test.ts:", "error: broken", "\na.test.ts:", "at a.test.ts:1", "(fail) last [1.00ms]"]);
});
