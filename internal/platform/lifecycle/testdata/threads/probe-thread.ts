import { takeMessages } from "../../take-messages.ts";
import type { Question, Reply } from "./questions.ts";

/** `sum(a, b)` by instructions on vectors, as WebAssembly with SIMD. */
const bytes = Uint8Array.from(
  [
    "0061736d 01000000",
    "01 07 01 60 02 7f7f 01 7f", // (i32, i32) -> i32
    "03 02 01 00",
    "07 07 01 03 73756d 00 00", // exports "sum"
    "0a 12 01 10 00 2000 fd11 2001 fd11 fdae01 fd1b00 0b", // splat, splat, add, first lane
  ].flatMap((line) => line.replaceAll(" ", "").match(/../g) ?? []),
  (hex) => Number.parseInt(hex, 16),
);
const { exports } = new WebAssembly.Instance(new WebAssembly.Module(bytes));
const sum = exports["sum"] as (a: number, b: number) => number;

takeMessages<Question, Reply>((question, post) => {
  if (question.kind === "sum") post({ kind: "sum", sum: sum(question.a, question.b) });
  else if (question.kind === "fill") {
    new Uint8Array(question.shared).fill(question.value);
    post({ kind: "filled" });
  } else if (question.kind === "fail") throw new Error("told to fail");
  else {
    post({ kind: "stuck" });
    for (;;); // Nothing but `stop` ends it.
  }
});
