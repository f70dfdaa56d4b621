import { create } from "@bufbuild/protobuf";
import { BranchSchema, type Branch, type StaffMember } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { UserStatusChanged, UserUpdated } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import { eventVersion } from "../../../platform/service/event-version.ts";
import type { Erasure } from "../personal-data/rules.ts";
import type { CopyStore } from "./store.ts";

/** What access makes of the news of people and branches. An event that is not newer than the copy changes nothing. */
export interface NewsRules {
  /** The person's membership, and their status where the event has it. */
  updated(event: UserUpdated, delivery: Delivery): Promise<void>;
  /** Suspended: no door opens, until they are active again. Deleted: nothing personal is left of them; then UserDataErased. */
  statusChanged(event: UserStatusChanged, delivery: Delivery): Promise<void>;
  /** The branch and its staff. */
  branch(event: BranchNews, delivery: Delivery): Promise<void>;
}

/** BranchCreated and BranchUpdated say the same. */
export interface BranchNews {
  readonly branchId: string;
  readonly branch?: Branch | undefined;
  readonly staff: readonly StaffMember[];
  readonly aggregateVersion: bigint;
}

export function createNewsRules(deps: {
  readonly copies: CopyStore;
  readonly erasure: Pick<Erasure, "erasePerson">;
}): NewsRules {
  const { copies, erasure } = deps;
  return {
    updated: async ({ userId, membership, aggregateVersion, status, statusVersion }, delivery) => {
      const known = statusOf(status);
      // First: who counts as told has both.
      if (known !== undefined) await copies.changeStatus(userId, known, eventVersion(delivery, statusVersion));
      const version = eventVersion(delivery, aggregateVersion);
      await copies.changeMembership(userId, membership, version, { tellsAll: known !== undefined });
    },

    statusChanged: async ({ userId, status, aggregateVersion }, delivery) => {
      const version = eventVersion(delivery, aggregateVersion);
      switch (status) {
        case UserStatus.ACTIVE:
          return copies.changeStatus(userId, "ACTIVE", version);
        case UserStatus.SUSPENDED:
          return copies.changeStatus(userId, "SUSPENDED", version);
        case UserStatus.DELETED:
          return erasure.erasePerson(userId, aggregateVersion, delivery);
        case UserStatus.UNSPECIFIED:
        default:
          return; // A status that this version does not know changes nothing here.
      }
    },

    branch: ({ branchId, branch, staff, aggregateVersion }, delivery) =>
      copies.changeBranch(
        { branch: branch ?? create(BranchSchema, { branchId }), staff },
        eventVersion(delivery, aggregateVersion),
      ),
  };
}

/** What may change again; `undefined` for anything else, which this event does not tell. */
function statusOf(status: UserStatus): "ACTIVE" | "SUSPENDED" | undefined {
  if (status === UserStatus.ACTIVE) return "ACTIVE";
  return status === UserStatus.SUSPENDED ? "SUSPENDED" : undefined;
}
