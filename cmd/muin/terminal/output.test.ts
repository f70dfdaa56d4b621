import { describe, expect, test } from "bun:test";
import { createOutput } from "./output.ts";

function stream(isTTY: boolean) {
  const written: string[] = [];
  return { isTTY, columns: 60, write: (text: string) => written.push(text) > 0, text: () => written.join("") };
}

describe("output", () => {
  test("aligns columns by what a terminal shows, numbers to the right, and ends lines without blanks", () => {
    const stdout = stream(false);
    createOutput(stdout, stream(false), true).table(
      ["COUNT", "VALUE", "NAME"],
      [
        ["주문", "5", "a"],
        ["longer", "-12", ""],
      ],
    );
    expect(stdout.text()).toBe("COUNT   VALUE  NAME\n주문        5  a\nlonger    -12\n");
  });

  test("colours a terminal only, and only when wanted", () => {
    const cases = [
      [true, true],
      [true, false],
      [false, true],
    ] as const;
    const painted = cases.map(([isTTY, color]) => createOutput(stream(isTTY), stream(isTTY), color).paint("red", "x"));
    expect(painted).toEqual(["\u001b[31mx\u001b[0m", "x", "x"]);
  });

  test("a note replaces the progress on a terminal; elsewhere no progress is drawn", () => {
    const terminal = stream(true);
    const output = createOutput(stream(true), terminal, true);
    output.progress("50 %");
    output.note("note");
    output.progress("");
    expect(terminal.text()).toBe("\r\u001b[2K50 %\r\u001b[2Knote\n");
    const plain = stream(false);
    createOutput(stream(false), plain, true).progress("50 %");
    expect(plain.text()).toBe("");
  });
});
