import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs, type Timestamp } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import { BranchSchema, BranchState, StaffMemberSchema, StaffRole } from "../../gen/muin/identity/v1/branch_pb.ts";
import { EntryVerdict, type BranchService } from "../../gen/muin/identity/v1/branch_service_pb.ts";
import { OwnerSchema, type OwnerService } from "../../gen/muin/identity/v1/owner_service_pb.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import { judgeEntry } from "../../shared/hours/entry-rules.ts";
import { openSpans, openStateAt, type OpenState } from "../../shared/hours/opening-hours.ts";
import { callerOf } from "../../platform/identity/caller.ts";
import { personIdOf } from "../../platform/resource/caller-scopes.ts";
import { fieldInvalid } from "../../platform/resource/errors.ts";
import { pageOf } from "../../platform/resource/page-token.ts";
import { managesAll, seesAll } from "./branch-access.ts";
import { contentOf, toBranch, updatedContent, type BranchRecord, type BranchStateName } from "./branch.ts";
import { branchOwnerErrors } from "./errors.ts";
import type { Owners } from "./owner.ts";
import type { Staff } from "./staff.ts";
import { isOwner, type BranchStore } from "./store-postgres.ts";

const dayMs = 86_400_000;
/** How long a stretch ListOpenPeriods looks at when the caller names no end, and at most. */
const stretchMsDefault = 7 * dayMs;
const stretchMsMax = 92 * dayMs;

/** Branches in one reply: each can be large. */
const branchesPageMax = 100;

const stateNames: ReadonlyMap<number, BranchStateName> = new Map([
  [BranchState.ACTIVE, "ACTIVE"],
  [BranchState.CLOSED, "CLOSED"],
]);

/** Serves owners. */
export function createOwnerHandlers(owners: Owners): ServiceImpl<typeof OwnerService> {
  return {
    registerOwner: async ({ owner }, context) => ({
      owner: await owners.register(callerOf(context), owner ?? create(OwnerSchema)),
    }),
    getOwner: async ({ userId }, context) => ({ owner: await owners.get(callerOf(context), userId) }),
    updateOwner: async ({ owner, updateMask }, context) => ({
      owner: await owners.update(callerOf(context), owner ?? create(OwnerSchema), updateMask?.paths),
    }),
    listOwners: async (request, context) => {
      const { page, nextPageToken } = await pageOf(
        ["owners"],
        request,
        (after, limit) => owners.list(callerOf(context), after, limit),
        ({ userId }) => userId,
      );
      return { owners: [...page], nextPageToken };
    },
  };
}

/** Serves branches. */
export function createBranchHandlers(deps: {
  readonly store: BranchStore;
  readonly staff: Staff;
  readonly clock: Clock;
}): ServiceImpl<typeof BranchService> {
  const { store, staff, clock } = deps;
  const momentOf = (time: Timestamp | undefined): number => (time === undefined ? clock.now() : timestampMs(time));

  return {
    createBranch: async ({ branch, requestId }, context) => {
      const caller = callerOf(context);
      const given = branch ?? create(BranchSchema);
      const ownerId = given.ownerId === "" ? personIdOf(caller) : given.ownerId;
      if (!managesAll(caller) && (ownerId === "" || ownerId !== personIdOf(caller)))
        throw branchOwnerErrors.branchForbidden();
      if (ownerId === "") {
        throw fieldInvalid("branch.owner_id", "must name an owner: an API key owns nothing");
      }
      return { branch: await store.create(caller, { ownerId, content: contentOf(given), requestId }) };
    },

    getBranch: async ({ branchId }, context) => ({
      branch: toBranch(await store.get(callerOf(context), branchId, "see")),
    }),

    listBranches: async (request, context) => {
      const caller = callerOf(context);
      if (personIdOf(caller) === "" && !seesAll(caller)) throw branchOwnerErrors.branchForbidden();
      const { ownerId, facility, countryCode, locality } = request;
      const query = { ownerId, state: stateNames.get(request.state), facility, countryCode, locality };
      const { page, nextPageToken } = await pageOf(
        ["branches", query],
        { pageToken: request.pageToken, pageSize: Math.min(request.pageSize, branchesPageMax) },
        (after, limit) => store.list(caller, query, after, limit),
        ({ branchId }) => branchId,
      );
      return { branches: page.map(toBranch), nextPageToken };
    },

    updateBranch: async ({ branch, updateMask }, context) => {
      const given = branch ?? create(BranchSchema);
      const { branchId, etag } = given;
      if (branchId === "") throw fieldInvalid("branch.branch_id", "must name the branch");
      const target = { branchId, etag, action: "change" } as const;
      const record = await store.change(callerOf(context), target, (_, present) =>
        Promise.resolve({ ...present, content: updatedContent(present, given, updateMask?.paths) }),
      );
      return { branch: toBranch(record) };
    },

    closeBranch: async ({ branchId, etag }, context) => {
      const target = { branchId, etag, action: "change" } as const;
      const record = await store.change(callerOf(context), target, (_, present) =>
        Promise.resolve(present.state === "CLOSED" ? undefined : { ...present, state: "CLOSED" }),
      );
      return { branch: toBranch(record) };
    },

    reopenBranch: async ({ branchId, etag }, context) => {
      const target = { branchId, etag, action: "change" } as const;
      const record = await store.change(callerOf(context), target, async (tx, present) => {
        if (present.state === "ACTIVE") return undefined;
        if (!(await isOwner(tx, present.ownerId))) throw branchOwnerErrors.ownerMissing({ user_id: present.ownerId });
        return { ...present, state: "ACTIVE" };
      });
      return { branch: toBranch(record) };
    },

    transferBranch: async ({ branchId, ownerId, etag }, context) => ({
      branch: toBranch(await store.transfer(callerOf(context), { branchId, etag, action: "transfer" }, ownerId)),
    }),

    addStaff: async ({ branchId, staffMember, etag }, context) => {
      const member = staffMember ?? create(StaffMemberSchema);
      return { staffMember: member, etag: await staff.add(callerOf(context), { branchId, etag }, member) };
    },

    removeStaff: async ({ branchId, userId, etag }, context) => ({
      etag: await staff.remove(callerOf(context), { branchId, etag }, userId),
    }),

    listStaff: async (request, context) => {
      const { branchId } = request;
      const { page, nextPageToken } = await pageOf(
        ["staff", branchId],
        request,
        (after, limit) => staff.list(callerOf(context), branchId, after, limit),
        ({ userId }) => userId,
      );
      return {
        staff: page.map(({ userId, role, displayName }) => ({
          staffMember: { userId, role: StaffRole[role] },
          displayName,
        })),
        nextPageToken,
      };
    },

    getOpenState: async ({ branchId, time }, context) => {
      const record = await store.get(callerOf(context), branchId, "see");
      const atMs = momentOf(time);
      const { open, sinceMs, untilMs } = stateOf(record, atMs);
      return {
        open,
        time: timestampFromMs(atMs),
        ...(sinceMs === undefined ? {} : { sinceTime: timestampFromMs(sinceMs) }),
        ...(untilMs === undefined ? {} : { untilTime: timestampFromMs(untilMs) }),
      };
    },

    listOpenPeriods: async ({ branchId, fromTime, toTime }, context) => {
      const record = await store.get(callerOf(context), branchId, "see");
      const fromMs = momentOf(fromTime);
      const toMs = toTime === undefined ? fromMs + stretchMsDefault : timestampMs(toTime);
      if (toMs < fromMs || toMs - fromMs > stretchMsMax) {
        throw fieldInvalid("to_time", "must be from from_time to 92 days after it");
      }
      const { openingHours, timeZone } = record.content;
      const spans = record.state === "CLOSED" ? [] : openSpans(openingHours, timeZone, { fromMs, toMs });
      return {
        periods: spans.map((span) => ({ fromTime: timestampFromMs(span.fromMs), toTime: timestampFromMs(span.toMs) })),
        timeZone,
      };
    },

    tryEntryRules: async ({ branchId, time, plan, insideCount, hasPresentationAttackScore }, context) => {
      const record = await store.get(callerOf(context), branchId, "see");
      const atMs = momentOf(time);
      const membership = plan === "" ? undefined : { plan, paused: false };
      const visitor = { isStaff: false, membership, insideCount, hasPresentationAttackScore };
      return { verdict: EntryVerdict[judgeEntry(toBranch(record), visitor, atMs)], time: timestampFromMs(atMs) };
    },
  };
}

/** A closed branch is open at no time, whatever its hours. */
function stateOf({ state, content }: BranchRecord, atMs: number): OpenState {
  if (state === "CLOSED") return { open: false, sinceMs: undefined, untilMs: undefined };
  return openStateAt(content.openingHours, content.timeZone, atMs);
}
