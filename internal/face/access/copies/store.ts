import type { Branch, StaffMember } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Membership } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { EventVersion } from "../../../platform/service/event-version.ts";

/** What a person may be. */
export type MemberStatus = "ACTIVE" | "SUSPENDED" | "DELETED";

/** A person as a door needs them. */
export interface MemberCopy {
  readonly status: MemberStatus;
  /** `undefined` for who has none. */
  readonly membership: Membership | undefined;
}

/** A branch as a door needs it: its id and owner, hours, rules and state. */
export interface BranchCopy {
  readonly branch: Branch;
  readonly staff: readonly StaffMember[];
}

/** Reads the copies of people and branches by which doors decide. `undefined`: nothing is known of them here. */
export interface CopyReader {
  member(memberId: string): Promise<MemberCopy | undefined>;
  branch(branchId: string): Promise<BranchCopy | undefined>;
}

/** Reads both at once, of a person at a branch's door. */
export interface VisitorReader {
  /** `by`: where they come from. */
  visitor(branchId: string, memberId: string): Promise<Visitor & { readonly by: "store" | "snapshot" }>;
}

export interface Visitor {
  readonly branch: BranchCopy | undefined;
  readonly member: MemberCopy | undefined;
}

/**
 * Copies of people and branches, kept by events. News that is not newer than the copy changes nothing, and nothing changes who is deleted: of
 * them nothing is left but that. Whatever tells all of a person or a branch clears doubts about the copy, also when it is not newer.
 */
export interface CopyStore extends CopyReader {
  changeStatus(memberId: string, status: Exclude<MemberStatus, "DELETED">, version: EventVersion): Promise<void>;
  /** `tellsAll`: the status was told with it, and is changed already. */
  changeMembership(
    memberId: string,
    membership: Membership | undefined,
    version: EventVersion,
    options?: { readonly tellsAll?: boolean },
  ): Promise<void>;
  changeBranch(copy: BranchCopy, version: EventVersion): Promise<void>;
  /** Leaves nothing of a person but that they are deleted. */
  erase(memberId: string): Promise<void>;
}
