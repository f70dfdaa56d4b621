import type { Branch } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import { eventVersion } from "../../../platform/service/event-version.ts";
import type { DeviceStore } from "./store.ts";

/** What BranchCreated and BranchUpdated both tell. */
export interface BranchEvent {
  readonly branchId: string;
  readonly branch?: Branch | undefined;
  readonly aggregateVersion: bigint;
}

/** Keeps which branches there are and whose they are. An event that is not newer than the copy changes nothing, and so needs no inbox. */
export async function copyBranch(
  deps: { readonly database: Database; readonly store: Pick<DeviceStore, "putBranch"> },
  { branchId, branch, aggregateVersion }: BranchEvent,
  delivery: Delivery,
): Promise<void> {
  await deps.database.transaction((tx) =>
    deps.store.putBranch(tx, {
      branchId,
      ownerId: branch?.ownerId ?? "",
      version: eventVersion(delivery, aggregateVersion),
    }),
  );
}
