import type { Branch } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { Database } from "../../../platform/postgres/database.ts";

/** What BranchCreated and BranchUpdated both tell. */
export interface BranchEvent {
  readonly branchId: string;
  readonly branch?: Branch | undefined;
  readonly aggregateVersion: bigint;
}

/** Keeps which branches there are and whose they are. An event that is not newer than the copy changes nothing. */
export async function copyBranch(database: Database, event: BranchEvent, delivery: Delivery): Promise<void> {
  await delivery.once(database, async (tx) => {
    await tx`
      INSERT INTO branches AS b (branch_id, owner_id, version)
      VALUES (${event.branchId}, ${event.branch?.ownerId ?? ""}, ${event.aggregateVersion.toString()})
      ON CONFLICT (branch_id) DO UPDATE SET owner_id = excluded.owner_id, version = excluded.version
      WHERE b.version < excluded.version`;
  });
}
