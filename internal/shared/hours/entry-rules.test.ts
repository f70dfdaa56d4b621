import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  BranchSchema,
  BranchState,
  WeeklyPeriodSchema,
  type EntryRulesSchema,
} from "../../gen/muin/identity/v1/branch_pb.ts";
import { caught, importMutant } from "../../platform/testing/mutant.ts";
import * as entryRules from "./entry-rules.ts";
import type { EntryVerdict, Visitor } from "./entry-rules.ts";

/** Monday, 12:00 in Seoul. */
const noon = Date.parse("2026-11-23T12:00+09:00");
const hourMs = 3_600_000;

function branchWith(entryRules: MessageInitShape<typeof EntryRulesSchema>, state: BranchState = BranchState.ACTIVE) {
  return create(BranchSchema, {
    timeZone: "Asia/Seoul",
    state,
    openingHours: { weekly: [{ day: 1, period: { openMinute: 9 * 60, closeMinute: 18 * 60 } }] },
    entryRules,
  });
}

const standard = { plan: "standard", paused: false };
const visitor: Visitor = {
  isStaff: false,
  membership: standard,
  insideCount: 0,
  hasPresentationAttackScore: false,
};
const morning = [create(WeeklyPeriodSchema, { day: 1, period: { openMinute: 9 * 60, closeMinute: 12 * 60 } })];
/** Every rule says no, but that the branch is open. */
const strict = { plans: [{ plan: "gold" }], capacityMax: 1, presentationAttackScoreRequired: true };

type Case = readonly [
  what: string,
  rules: MessageInitShape<typeof EntryRulesSchema>,
  visitor: Partial<Visitor>,
  verdict: EntryVerdict,
  options?: { readonly state?: BranchState; readonly atMs?: number },
];
const membership = (given: Partial<NonNullable<Visitor["membership"]>>): Partial<Visitor> => ({
  membership: { ...standard, ...given },
});
const cases: readonly Case[] = [
  ["any plan without rules", {}, {}, "ADMITTED"],
  ["nobody without a membership", {}, { membership: undefined }, "NO_MEMBERSHIP"],
  ["whose membership rests", {}, membership({ paused: true }), "NO_MEMBERSHIP"],
  ["whose membership begins now", {}, membership({ fromTime: timestampFromMs(noon) }), "ADMITTED"],
  ["whose membership begins in a moment", {}, membership({ fromTime: timestampFromMs(noon + 1) }), "NO_MEMBERSHIP"],
  ["whose membership ends in a moment", {}, membership({ untilTime: timestampFromMs(noon + 1) }), "ADMITTED"],
  ["whose membership ends now", {}, membership({ untilTime: timestampFromMs(noon) }), "NO_MEMBERSHIP"],
  ["outside the hours", {}, {}, "OUTSIDE_OPENING_HOURS", { atMs: noon + 6 * hourMs }],
  ["at the last moment", {}, {}, "ADMITTED", { atMs: noon + 6 * hourMs - 1 }],
  ["at the first moment", {}, {}, "ADMITTED", { atMs: noon - 3 * hourMs }],
  ["a branch that is given up", {}, {}, "BRANCH_CLOSED", { state: BranchState.CLOSED }],
  ["a plan that admits", { plans: [{ plan: "gold" }, { plan: "standard" }] }, {}, "ADMITTED"],
  ["a plan that does not", { plans: [{ plan: "gold" }] }, {}, "PLAN_NOT_ADMITTED"],
  ["a plan's hours", { plans: [{ plan: "standard", weekly: morning }] }, {}, "ADMITTED", { atMs: noon - 1 }],
  ["after a plan's hours", { plans: [{ plan: "standard", weekly: morning }] }, {}, "OUTSIDE_PLAN_HOURS"],
  ["room for one", { capacityMax: 3 }, { insideCount: 2 }, "ADMITTED"],
  ["no room", { capacityMax: 3 }, { insideCount: 3 }, "FULL"],
  ["0 is any number", { capacityMax: 0 }, { insideCount: 1000 }, "ADMITTED"],
  ["a score is required", { presentationAttackScoreRequired: true }, {}, "SCORE_MISSING"],
  ["a score is there", { presentationAttackScoreRequired: true }, { hasPresentationAttackScore: true }, "ADMITTED"],
  ["staff, whatever the rules", strict, { isStaff: true, membership: undefined, insideCount: 9 }, "ADMITTED"],
  ["staff, when it is given up", strict, { isStaff: true }, "ADMITTED", { state: BranchState.CLOSED, atMs: 0 }],
  ["the plan is asked for before the room", strict, { insideCount: 9 }, "PLAN_NOT_ADMITTED"],
  ["the room before the score", strict, { ...membership({ plan: "gold" }), insideCount: 9 }, "FULL"],
];

function check({ judgeEntry }: typeof entryRules, [, rules, given, verdict, options = {}]: Case): void {
  const { state, atMs = noon } = options;
  expect(judgeEntry(branchWith(rules, state), { ...visitor, ...given }, atMs)).toBe(verdict);
}

describe("the rules of entry", () => {
  test.each(cases)("%s", (...each) => check(entryRules, each as unknown as Case));
});

describe("a mutant is caught", () => {
  const path = join(import.meta.dir, "entry-rules.ts");
  test.each([
    ["staff", "if (visitor.isStaff)", "if (false)"],
    ["a pause", "if (paused) return false;", ""],
    ["the first moment", "timestampMs(fromTime) <= atMs", "timestampMs(fromTime) < atMs"],
    ["the last moment", "atMs < timestampMs(untilTime)", "atMs <= timestampMs(untilTime)"],
    ["the room", "visitor.insideCount >= rules.capacityMax", "visitor.insideCount > rules.capacityMax"],
    ["a plan's hours", "rule.weekly.length > 0 &&", "false &&"],
  ])("that forgets %s", async (_, from, to) => {
    const mutant = await importMutant<typeof entryRules>(path, from, to);
    await caught(() => {
      for (const each of cases) check(mutant, each);
    });
  });
});
