import { clone, create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { BranchSchema, BranchState, type Branch } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { fieldsInvalid } from "../../../platform/resource/errors.ts";
import { etagOf } from "../../../platform/resource/etag.ts";
import { applyUpdate } from "../../../platform/resource/update-mask.ts";
import { checkContent } from "./content-rules.ts";
import type { StoredBranch } from "./store.ts";

/** What people say of a branch, by the names of the proto. Everything else is Muin's. */
const contentFields = [
  "display_name",
  "address",
  "position",
  "time_zone",
  "opening_hours",
  "facilities",
  "equipment",
  "entry_rules",
] as const;

/** The branch as callers and consumers see it. */
export function toBranch(stored: StoredBranch): Branch {
  const branch = clone(BranchSchema, stored.content);
  branch.branchId = stored.branchId;
  branch.ownerId = stored.ownerId;
  branch.state = BranchState[stored.state];
  branch.etag = etagOf(stored.version);
  branch.createTime = timestampFromMs(stored.createTimeMs);
  branch.updateTime = timestampFromMs(stored.updateTimeMs);
  return branch;
}

/** The content of a branch to be created. Throws FIELD_INVALID when it breaks a rule. */
export function contentOf(given: Branch): Branch {
  const content = create(BranchSchema);
  applyUpdate(BranchSchema, content, given, { mask: ["*"], allowed: contentFields });
  checkContent(content);
  return content;
}

/**
 * The content after an update (AIP-134). Throws FIELD_INVALID when it breaks a rule, for a mask that names what is not content, and
 * for another owner or state than the present one.
 */
export function updatedContent(present: StoredBranch, given: Branch, mask: readonly string[] | undefined): Branch {
  const violations = [
    ...(given.ownerId === "" || given.ownerId === present.ownerId
      ? []
      : [{ field: "branch.owner_id", description: "does not change by an update; use TransferBranch" }]),
    ...(given.state === BranchState.UNSPECIFIED || given.state === BranchState[present.state]
      ? []
      : [{ field: "branch.state", description: "does not change by an update; use CloseBranch or ReopenBranch" }]),
  ];
  if (violations.length > 0) throw fieldsInvalid(violations);
  const content = clone(BranchSchema, present.content);
  applyUpdate(BranchSchema, content, given, { mask, allowed: contentFields });
  checkContent(content, present.content);
  return content;
}
