import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { UserDataErasedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { StaffMember } from "../../gen/muin/identity/v1/branch_pb.ts";
import type { Publish } from "../../platform/service/delivery.ts";
import type { Transaction } from "../../platform/postgres/database.ts";
import { toBranch } from "./branch/content.ts";
import type { StoredBranch } from "./branch/store.ts";

/** Events that branch-owner publishes. */
export const published = [BranchCreatedSchema, BranchUpdatedSchema, UserDataErasedSchema] as const;

/** Records one of branch-owner's events in a transaction. */
export type BranchPublish = Publish<typeof published>;

/** Records the whole state of a branch. Its row must be locked by `tx`. */
export async function announceBranch(
  tx: Transaction,
  publish: BranchPublish,
  schema: typeof BranchCreatedSchema | typeof BranchUpdatedSchema,
  stored: StoredBranch,
  staff: readonly StaffMember[],
): Promise<void> {
  await publish(tx, schema, {
    branchId: stored.branchId,
    branch: toBranch(stored),
    staff: [...staff],
    aggregateVersion: BigInt(stored.version),
    time: timestampFromMs(stored.updateTimeMs),
  });
}

/** Records that everything of a deleted person is gone here. */
export async function announceErasure(
  tx: Transaction,
  publish: BranchPublish,
  userId: string,
  aggregateVersion: bigint,
  nowMs: number,
): Promise<void> {
  await publish(tx, UserDataErasedSchema, {
    userId,
    service: "branch-owner",
    aggregateVersion,
    time: timestampFromMs(nowMs),
  });
}
