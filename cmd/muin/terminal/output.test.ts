import { describe, expect, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../../internal/gen/google/rpc/error_details_pb.ts";
import { CountSchema, CountState } from "../../../internal/gen/muin/count/v1/count_pb.ts";
import { exitCodes, exitCodesHelp } from "./exit-codes.ts";
import { toFailure } from "./failure.ts";
import { grouped, progressText } from "../import/progress.ts";
import { durationMs, wholeNumber } from "./values.ts";
import { createOutput } from "./output.ts";
import { plainMessage } from "../remote/plain-message.ts";

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

  test("prints messages with proto names and 64-bit numbers as numbers", () => {
    const count = create(CountSchema, {
      info: {
        countId: "a",
        minValue: -5n,
        state: CountState.ACTIVE,
        labels: { k: "1" },
        createTime: timestampFromMs(0),
      },
      value: { countId: "a", value: 9007199254740991n, revision: 0n },
    });
    expect(plainMessage(CountSchema, count)).toEqual({
      info: {
        count_id: "a",
        display_name: "",
        labels: { k: "1" },
        min_value: -5,
        state: "COUNT_STATE_ACTIVE",
        etag: "",
        create_time: "1970-01-01T00:00:00Z",
      },
      value: { count_id: "a", value: 9007199254740991, revision: 0 },
      source: "COUNT_SOURCE_UNSPECIFIED",
    });
  });
});

describe("failures", () => {
  const details = {
    violations: {
      desc: BadRequestSchema,
      value: { fieldViolations: [{ field: "delta", description: "must be 1 or more" }] },
    },
    unknown: { desc: ErrorInfoSchema, value: { reason: "OUTCOME_UNKNOWN", domain: "muin" } },
  } as const;

  test.each<[error: unknown, code: number, sentence: string | RegExp]>([
    [new ConnectError("there is no Count x", Code.NotFound), 4, "there is no Count x"],
    [new ConnectError("invalid", Code.InvalidArgument, undefined, [details.violations]), 2, "delta: must be 1 or more"],
    [new ConnectError("late", Code.Unavailable, undefined, [details.unknown]), 7, "late"],
    [new ConnectError("away", Code.Unavailable), 3, "away"],
    [new ConnectError("no", Code.PermissionDenied), 5, "no"],
    [new ConnectError("no key", Code.Unauthenticated), 5, /^no key; give a key with MUIN_API_KEY/],
    [new ConnectError("full", Code.ResourceExhausted), 8, "full"],
    [new ConnectError("there", Code.AlreadyExists), 6, "there"],
    [new Error("boom"), 1, "boom"],
  ])("case %# exits with its code", (error, code, sentence) => {
    const failure = toFailure(error);
    expect(exitCodes[failure.exit].code).toBe(code as never);
    expect(failure.message).toMatch(sentence);
  });

  test("exit codes differ and are all in the help", () => {
    const codes = Object.values(exitCodes).map(({ code }) => code);
    expect(new Set(codes).size).toBe(codes.length);
    for (const code of codes) expect(exitCodesHelp()).toMatch(new RegExp(`^ +${code} `, "m"));
  });
});

describe("arguments", () => {
  test("lengths of time", () => {
    expect(["500ms", "90s", "15m", "12h", "30d"].map(durationMs)).toEqual([
      500, 90_000, 900_000, 43_200_000, 2_592_000_000,
    ]);
    for (const text of ["", "5", "s", "-1s", "1.5h", "1w"]) expect(() => durationMs(text)).toThrow("length of time");
  });

  test("whole numbers", () => {
    const read = wholeNumber(-3, 10);
    expect([read("-3"), read("+7"), read("10")]).toEqual([-3, 7, 10]);
    for (const text of ["", "11", "-4", "1.5", "1e1", "x"]) expect(() => read(text)).toThrow("from -3 to 10");
  });
});

describe("progress", () => {
  const result = { lines: 1500, badCount: 2, offset: 50, offsetStart: 0 };
  test.each<[source: Parameters<typeof progressText>[1], bar: boolean, text: string]>([
    [
      { bytesTotal: 100, bytesRead: () => 0, compressed: false },
      true,
      "[########--------]  50 %  1 500 lines  750/s  2 bad  0:02 left",
    ],
    [{ bytesTotal: 100, bytesRead: () => 25, compressed: true }, false, "25 %  1 500 lines  750/s  2 bad  0:06 left"],
    [{ bytesTotal: undefined, bytesRead: () => 25, compressed: false }, true, "1 500 lines  750/s  2 bad"],
  ])("%#", (source, bar, text) => {
    expect(progressText(result, source, 2, bar)).toBe(text);
  });

  test("numbers have their thousands apart", () => {
    expect([0, 999, 1000, 1234567].map(grouped)).toEqual(["0", "999", "1 000", "1 234 567"]);
  });
});
