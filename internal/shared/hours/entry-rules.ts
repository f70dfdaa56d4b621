import { create } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { BranchState, OpeningHoursSchema, type Branch } from "../../gen/muin/identity/v1/branch_pb.ts";
import type { Membership } from "../../gen/muin/identity/v1/user_pb.ts";
import { openSpans } from "./opening-hours.ts";

/** What is known of a person at the door. */
export interface Visitor {
  /** Works for the branch. */
  readonly isStaff: boolean;
  /** `undefined` for who has none. */
  readonly membership: Pick<Membership, "plan" | "fromTime" | "untilTime" | "paused"> | undefined;
  /** People inside already, the visitor aside. */
  readonly insideCount: number;
  /** Whether the device sent its score that a face is no picture or mask. */
  readonly hasPresentationAttackScore: boolean;
}

/** What a branch's rules say of a visitor: ADMITTED, or the first rule that says no. */
export type EntryVerdict =
  | "ADMITTED"
  | "BRANCH_CLOSED"
  | "OUTSIDE_OPENING_HOURS"
  | "NO_MEMBERSHIP"
  | "PLAN_NOT_ADMITTED"
  | "OUTSIDE_PLAN_HOURS"
  | "FULL"
  | "SCORE_MISSING";

/**
 * What the rules of a branch say of a visitor at a moment, in the order that stands at EntryRules in branch.proto. Throws as
 * `openSpans` does.
 */
export function judgeEntry(branch: Branch, visitor: Visitor, atMs: number): EntryVerdict {
  if (visitor.isStaff) return "ADMITTED";
  if (branch.state !== BranchState.ACTIVE) return "BRANCH_CLOSED";
  if (!isOpenAt(branch, branch.openingHours, atMs)) return "OUTSIDE_OPENING_HOURS";
  const { membership } = visitor;
  if (membership === undefined || !isGood(membership, atMs)) return "NO_MEMBERSHIP";
  const rules = branch.entryRules;
  if (rules === undefined) return "ADMITTED";
  if (rules.plans.length > 0) {
    const rule = rules.plans.find(({ plan }) => plan === membership.plan);
    if (rule === undefined) return "PLAN_NOT_ADMITTED";
    const hours = create(OpeningHoursSchema, { weekly: rule.weekly });
    if (rule.weekly.length > 0 && !isOpenAt(branch, hours, atMs)) return "OUTSIDE_PLAN_HOURS";
  }
  if (rules.capacityMax > 0 && visitor.insideCount >= rules.capacityMax) return "FULL";
  if (rules.presentationAttackScoreRequired && !visitor.hasPresentationAttackScore) return "SCORE_MISSING";
  return "ADMITTED";
}

function isOpenAt({ timeZone }: Branch, hours: Branch["openingHours"], atMs: number): boolean {
  return openSpans(hours, timeZone, { fromMs: atMs, toMs: atMs + 1 }).length > 0;
}

function isGood({ fromTime, untilTime, paused }: NonNullable<Visitor["membership"]>, atMs: number): boolean {
  if (paused) return false;
  return (
    (fromTime === undefined || timestampMs(fromTime) <= atMs) &&
    (untilTime === undefined || atMs < timestampMs(untilTime))
  );
}
