import { equals, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BranchCreatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { BranchSchema, type Branch } from "../../../gen/muin/identity/v1/branch_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { isRefusal, type Refusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database, Transaction } from "../../../platform/postgres/database.ts";
import { personIdOf } from "../../../platform/resource/caller-scopes.ts";
import { republishAll } from "../../../platform/resource/republish.ts";
import { refuse } from "../errors.ts";
import { announceBranch, type BranchPublish } from "../events.ts";
import type { OwnerStore } from "../owner/store.ts";
import type { PersonStore } from "../person/store.ts";
import type { RequestStore } from "../request/store.ts";
import type { StaffStore } from "../staff/store.ts";
import { isBarred, managesAll, refusalOf, seesAll, type BranchAction, type BranchRefusal } from "./access.ts";
import { toBranch, updatedContent } from "./content.ts";
import type { LockedBranches, Target } from "./locked.ts";
import type { BranchQuery, BranchStore, StoredBranch } from "./store.ts";

/** What is wrong with a request_id that named another request. */
const reused = { field: "request_id", description: "was used for another request" };
/** Branches that are announced again in one transaction. */
const republishPage = 200;

/** Why a change of who owns a branch was refused. */
export type OwnershipRefusal = BranchRefusal | Refusal<"ownerMissing" | "tooManyBranches">;

/** The same of a creation. */
export type CreationRefusal = OwnershipRefusal | Refusal<"notAnOwner" | "requestIdReused">;

/** A branch that is to be created, and the request that asked for it. */
export interface Creation {
  readonly ownerId: string;
  /** As `contentOf` makes it. */
  readonly content: Branch;
  /** Empty: the request is not remembered. */
  readonly requestId: string;
}

/** Branches. Each change is announced in the transaction that makes it; what changes nothing is not. */
export interface BranchRules {
  get(caller: Caller, branchId: string, action: BranchAction): Promise<StoredBranch | BranchRefusal>;
  /** Branches that the caller may see after the id `after`, in the order of their ids. */
  list(
    caller: Caller,
    query: Omit<BranchQuery, "personId">,
    after: string,
    limit: number,
  ): Promise<readonly StoredBranch[] | BranchRefusal>;
  /** Creates a branch. A repeated request gets the first reply. */
  create(caller: Caller, creation: Creation): Promise<Branch | CreationRefusal>;
  /** Changes what the mask says (AIP-134). Throws FIELD_INVALID for content, or a mask, that breaks a rule. */
  update(
    caller: Caller,
    target: Target,
    given: Branch,
    mask: readonly string[] | undefined,
  ): Promise<StoredBranch | BranchRefusal>;
  close(caller: Caller, target: Target): Promise<StoredBranch | BranchRefusal>;
  /** Runs a closed branch again, whose owner must still be one. */
  reopen(caller: Caller, target: Target): Promise<StoredBranch | OwnershipRefusal>;
  /** Gives a branch to another owner, who is no longer among its staff. */
  transfer(caller: Caller, target: Target, ownerId: string): Promise<StoredBranch | OwnershipRefusal>;
  /** Records the whole state of every branch again, at its version. Returns how many. */
  republish(): Promise<number>;
}

export function createBranchRules(deps: {
  readonly database: Database;
  readonly branches: BranchStore;
  readonly locked: LockedBranches;
  readonly owners: Pick<OwnerStore, "find" | "lock">;
  readonly people: Pick<PersonStore, "statusOf">;
  readonly staff: Pick<StaffStore, "standingOf" | "of" | "remove">;
  readonly requests: Pick<RequestStore, "recall" | "remember">;
  readonly publish: BranchPublish;
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
  /** Branches that one owner may have, closed ones included. */
  readonly branchesPerOwnerMax: number;
  /** How long a request_id is remembered, in milliseconds. */
  readonly requestIdWindowMs: number;
}): BranchRules {
  const { database, branches, locked, owners, people, staff, requests, publish, clock, random } = deps;
  const { sql } = database;
  const branchesMax = deps.branchesPerOwnerMax;
  const full = { branches_max: `${branchesMax}` };

  return {
    get: async (caller, branchId, action) => {
      const branch = await branches.find(sql, branchId);
      const standing = await staff.standingOf(sql, branchId, personIdOf(caller));
      const refusal = refusalOf(caller, branchId, branch, standing, action);
      return refusal ?? branch ?? refuse("branchNotFound", { branch_id: branchId });
    },

    list: async (caller, query, after, limit) => {
      const personId = personIdOf(caller);
      if (personId === "" && !seesAll(caller)) return refuse("branchForbidden");
      if (isBarred(await people.statusOf(sql, personId))) return refuse("accountSuspended");
      return branches.list(sql, { ...query, personId: seesAll(caller) ? undefined : personId }, after, limit);
    },

    create: (caller, { ownerId, content, requestId }) =>
      database.transaction(async (tx) => {
        if (isBarred(await people.statusOf(tx, personIdOf(caller)))) return refuse("accountSuspended");
        const request = { principal: caller.principal, requestId, fingerprint: fingerprintOf(ownerId, content) };
        const known = requestId === "" ? undefined : await requests.recall(tx, request, clock.now());
        if (known === "reused") return refuse("requestIdReused", { violations: [reused] });
        if (known !== undefined) return fromBinary(BranchSchema, known);
        const owner = await owners.lock(tx, ownerId);
        if (owner === undefined && !managesAll(caller)) return refuse("notAnOwner");
        if (owner === undefined) return refuse("ownerMissing", { user_id: ownerId });
        if ((await branches.countOfOwner(tx, ownerId)) >= branchesMax) return refuse("tooManyBranches", full);
        const nowMs = clock.now();
        const times = { createTimeMs: nowMs, updateTimeMs: nowMs };
        const branch = { branchId: random.uuid(), ownerId, state: "ACTIVE", content, version: 1, ...times } as const;
        await branches.add(tx, branch);
        await announceBranch(tx, publish, BranchCreatedSchema, branch, []);
        const reply = toBranch(branch);
        if (requestId !== "") {
          await requests.remember(tx, request, toBinary(BranchSchema, reply), nowMs + deps.requestIdWindowMs);
        }
        return reply;
      }),

    update: (caller, target, given, mask) =>
      database.transaction(async (tx) => {
        const branch = await locked.open(tx, caller, target, "change");
        if (isRefusal(branch)) return branch;
        return saveContent(locked, tx, branch, updatedContent(branch, given, mask));
      }),

    close: (caller, target) =>
      database.transaction(async (tx) => {
        const branch = await locked.open(tx, caller, target, "change");
        if (isRefusal(branch) || branch.state === "CLOSED") return branch;
        return locked.save(tx, { ...branch, state: "CLOSED" });
      }),

    reopen: (caller, target) =>
      database.transaction(async (tx) => {
        const branch = await locked.open(tx, caller, target, "change");
        if (isRefusal(branch) || branch.state === "ACTIVE") return branch;
        const owner = await owners.find(tx, branch.ownerId);
        if (owner === undefined) return refuse("ownerMissing", { user_id: branch.ownerId });
        return locked.save(tx, { ...branch, state: "ACTIVE" });
      }),

    transfer: (caller, target, ownerId) =>
      database.transaction(async (tx) => {
        const owner = await owners.lock(tx, ownerId);
        const branch = await locked.open(tx, caller, target, "transfer");
        if (isRefusal(branch) || branch.ownerId === ownerId) return branch;
        if (owner === undefined) return refuse("ownerMissing", { user_id: ownerId });
        if ((await branches.countOfOwner(tx, ownerId)) >= branchesMax) return refuse("tooManyBranches", full);
        await staff.remove(tx, branch.branchId, ownerId);
        return locked.save(tx, { ...branch, ownerId });
      }),

    republish: () =>
      republishAll((after) =>
        database.transaction(async (tx) => {
          const page = await branches.lockPage(tx, after, republishPage);
          // All consumers take BranchCreated, whatever the version.
          for (const branch of page) {
            await announceBranch(tx, publish, BranchCreatedSchema, branch, await staff.of(tx, branch.branchId));
          }
          return { last: page.at(-1)?.branchId ?? "", recorded: page.length };
        }),
      ),
  };
}

/** SHA-256 of what a creation asks for. */
function fingerprintOf(ownerId: string, content: Branch): Uint8Array {
  const hash = new Bun.CryptoHasher("sha256").update(`${ownerId}\0`).update(toBinary(BranchSchema, content));
  return new Uint8Array(hash.digest());
}

/** Saves what is said of a branch; the branch as it is, without a new version, when that is the same. */
async function saveContent(
  locked: LockedBranches,
  tx: Transaction,
  branch: StoredBranch,
  content: Branch,
): Promise<StoredBranch> {
  return equals(BranchSchema, content, branch.content) ? branch : locked.save(tx, { ...branch, content });
}
