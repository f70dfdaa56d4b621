import { DecisionReason } from "../../../gen/muin/face/v1/entry_pb.ts";
import { judgeEntry, type EntryVerdict } from "../../../shared/hours/entry-rules.ts";
import type { BranchCopy, MemberCopy } from "../copies/store.ts";

/** What the rules say of a person at a door. */
export interface Verdict {
  readonly reason: DecisionReason;
  /** So many others inside make it FULL instead; `undefined`: it does not hang on that. */
  readonly capacityMax: number | undefined;
}

/** `DecisionReason` by what the rules of entry say. */
const reasons: Readonly<Record<EntryVerdict, DecisionReason>> = {
  ADMITTED: DecisionReason.ADMITTED,
  BRANCH_CLOSED: DecisionReason.BRANCH_CLOSED,
  OUTSIDE_OPENING_HOURS: DecisionReason.OUTSIDE_OPENING_HOURS,
  NO_MEMBERSHIP: DecisionReason.NO_MEMBERSHIP,
  PLAN_NOT_ADMITTED: DecisionReason.PLAN_NOT_ADMITTED,
  OUTSIDE_PLAN_HOURS: DecisionReason.OUTSIDE_PLAN_HOURS,
  FULL: DecisionReason.FULL,
  SCORE_MISSING: DecisionReason.PRESENTATION_ATTACK,
};

/**
 * Whether a person who was recognised may enter: first whether they may anywhere, then the rules of the branch. Of a branch that is not known here
 * nobody works, and it has not begun; of a person who is not known here there is no membership. Throws as `judgeEntry` does.
 */
export function verdictOn(
  {
    branch: copy,
    member,
    memberId,
  }: {
    readonly branch: BranchCopy | undefined;
    readonly member: MemberCopy | undefined;
    readonly memberId: string;
  },
  hasPresentationAttackScore: boolean,
  atMs: number,
): Verdict {
  if (member !== undefined && member.status !== "ACTIVE") return decided(DecisionReason.NOT_ACTIVE);
  if (copy === undefined) return decided(DecisionReason.BRANCH_CLOSED);
  const { branch, staff } = copy;
  const visitor = {
    isStaff: staff.some(({ userId }) => userId === memberId),
    membership: member?.membership,
    hasPresentationAttackScore,
  };
  const capacityMax = branch.entryRules?.capacityMax ?? 0;
  const withRoom = judgeEntry(branch, { ...visitor, insideCount: 0 }, atMs);
  const whenFull = capacityMax === 0 ? withRoom : judgeEntry(branch, { ...visitor, insideCount: capacityMax }, atMs);
  return { reason: reasons[withRoom], capacityMax: whenFull === withRoom ? undefined : capacityMax };
}

function decided(reason: DecisionReason): Verdict {
  return { reason, capacityMax: undefined };
}
