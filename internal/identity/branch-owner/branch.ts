import { clone, create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { BranchSchema, BranchState, type Branch } from "../../gen/muin/identity/v1/branch_pb.ts";
import { fieldsInvalid, resourceErrors } from "../../platform/resource/errors.ts";
import { etagOf, isCurrent } from "../../platform/resource/etag.ts";
import { applyUpdate } from "../../platform/resource/update-mask.ts";
import { checkContent } from "./branch-content.ts";

/** The states in the words of the database. */
export type BranchStateName = "ACTIVE" | "CLOSED";

/** A branch as the database knows it. */
export interface BranchRecord {
  readonly branchId: string;
  readonly ownerId: string;
  readonly state: BranchStateName;
  /** What its people say of it: the fields of `contentFields`, no others. */
  readonly content: Branch;
  /** Grows with every change of the branch or its staff. */
  readonly version: number;
  readonly createTimeMs: number;
  readonly updateTimeMs: number;
}

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

/** Throws ABORTED when an etag was given and is not the current one. */
export function checkEtag(resource: string, given: string, version: number): void {
  if (!isCurrent(given, etagOf(version))) throw resourceErrors.etagMismatch({ resource });
}

/** The branch as callers and consumers see it. */
export function toBranch(record: BranchRecord): Branch {
  const branch = clone(BranchSchema, record.content);
  branch.branchId = record.branchId;
  branch.ownerId = record.ownerId;
  branch.state = BranchState[record.state];
  branch.etag = etagOf(record.version);
  branch.createTime = timestampFromMs(record.createTimeMs);
  branch.updateTime = timestampFromMs(record.updateTimeMs);
  return branch;
}

/** The content of a branch to be created. Throws INVALID_ARGUMENT when it breaks a rule. */
export function contentOf(given: Branch): Branch {
  const content = create(BranchSchema);
  applyUpdate(BranchSchema, content, given, { mask: ["*"], allowed: contentFields });
  checkContent(content);
  return content;
}

/**
 * The content after an update (AIP-134). Throws INVALID_ARGUMENT when it breaks a rule, for a mask that names what is not content,
 * and for another owner or state than the present one.
 */
export function updatedContent(record: BranchRecord, given: Branch, mask: readonly string[] | undefined): Branch {
  const violations = [
    ...(given.ownerId === "" || given.ownerId === record.ownerId
      ? []
      : [{ field: "branch.owner_id", description: "does not change by an update; use TransferBranch" }]),
    ...(given.state === BranchState.UNSPECIFIED || given.state === BranchState[record.state]
      ? []
      : [{ field: "branch.state", description: "does not change by an update; use CloseBranch or ReopenBranch" }]),
  ];
  if (violations.length > 0) throw fieldsInvalid(violations);
  const content = clone(BranchSchema, record.content);
  applyUpdate(BranchSchema, content, given, { mask, allowed: contentFields });
  checkContent(content);
  return content;
}
