import { describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../../internal/gen/google/rpc/error_details_pb.ts";
import { exitCodes, exitCodesHelp } from "./exit-codes.ts";
import { toFailure } from "./failure.ts";

describe("failures", () => {
  const details = {
    violations: {
      desc: BadRequestSchema,
      value: { fieldViolations: [{ field: "delta", description: "must be 1 or more" }] },
    },
    keyInvalid: { desc: ErrorInfoSchema, value: { reason: "API_KEY_INVALID", domain: "muin" } },
    codeInvalid: { desc: ErrorInfoSchema, value: { reason: "ACTIVATION_CODE_INVALID", domain: "muin" } },
    unknown: { desc: ErrorInfoSchema, value: { reason: "OUTCOME_UNKNOWN", domain: "muin" } },
  } as const;

  test.each<[error: unknown, code: number, sentence: string | RegExp]>([
    [new ConnectError("there is no Count x", Code.NotFound), 4, "there is no Count x"],
    [new ConnectError("invalid", Code.InvalidArgument, undefined, [details.violations]), 2, "delta: must be 1 or more"],
    [new ConnectError("late", Code.Unavailable, undefined, [details.unknown]), 7, "late"],
    [new ConnectError("away", Code.Unavailable), 3, "away"],
    [new ConnectError("no", Code.PermissionDenied), 5, "no"],
    [new ConnectError("no key", Code.Unauthenticated), 5, /^no key; give a key with MUIN_API_KEY/],
    [
      new ConnectError("bad key", Code.Unauthenticated, undefined, [details.keyInvalid]),
      5,
      /^bad key; give a key with/,
    ],
    [new ConnectError("bad code", Code.Unauthenticated, undefined, [details.codeInvalid]), 5, /^bad code$/],
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
