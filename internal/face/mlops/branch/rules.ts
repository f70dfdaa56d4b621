import { StaffRole, type Branch, type StaffMember } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import { eventVersion } from "../../../platform/service/event-version.ts";
import type { BranchStore } from "./store.ts";

/** What BranchCreated and BranchUpdated both tell. */
interface BranchEvent {
  readonly branchId: string;
  readonly branch?: Branch | undefined;
  readonly staff: readonly StaffMember[];
  readonly aggregateVersion: bigint;
}

/** Keeps which branches there are and who manages them. An event that is not newer than the copy changes nothing, and so needs no inbox. */
export async function copyBranch(
  deps: { readonly database: Database; readonly branches: Pick<BranchStore, "put"> },
  { branchId, branch, staff, aggregateVersion }: BranchEvent,
  delivery: Delivery,
): Promise<void> {
  await deps.database.transaction((tx) =>
    deps.branches.put(tx, {
      branchId,
      ownerId: branch?.ownerId ?? "",
      managerIds: staff.filter(({ role }) => role === StaffRole.MANAGER).map(({ userId }) => userId),
      version: eventVersion(delivery, aggregateVersion),
    }),
  );
}
