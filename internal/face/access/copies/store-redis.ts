import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { BranchUpdatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { BranchSchema, type Branch } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { MembershipSchema } from "../../../gen/muin/identity/v1/user_pb.ts";
import { createLruMap } from "../../../platform/cache/lru-map.ts";
import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { defineScript } from "../../../platform/redis/script.ts";
import type { EventVersion } from "../../../platform/service/event-version.ts";
import { branchKey, copyChangesKey, doubtKey, memberKey, toldBranch, toldKey, toldMember } from "../face-store/keys.ts";
import type { BranchCopy, CopyStore, MemberCopy, MemberStatus } from "./store.ts";

/** Branches whose copies a process keeps read, so that only their version travels. */
const branchesReadMax = 1000;
/** Changes of copies that are kept for who follows them; who is behind reads all copies anew. */
const changesMax = 100_000;

/**
 * Copies in the face Redis. A person is a string: status, epoch and version of it, epoch and version of the membership, and the membership
 * in protobuf binary, each but the last with "|" behind it. A branch is a hash: epoch, version, and a BranchUpdated in protobuf binary.
 */
export function createRedisCopies({ client }: Pick<RedisStore, "client">): CopyStore {
  const read = createLruMap<{ readonly version: string; readonly copy: BranchCopy }>(branchesReadMax);
  return {
    member: async (memberId) => {
      const packed = await client.getBuffer(memberKey(memberId));
      return packed === null ? undefined : readMember(packed);
    },

    branch: async (branchId) => {
      const [epoch, number] = await client.hmget(branchKey(branchId), "epoch", "version");
      const version = `${epoch} ${number}`;
      const known = read.get(branchId);
      if (known?.version === version) return known.copy;
      const [epochNow, numberNow, data] = await client.hmgetBuffer(branchKey(branchId), "epoch", "version", "data");
      if (data == null) return undefined;
      const copy = readBranch(data);
      read.set(branchId, { version: `${String(epochNow)} ${String(numberNow)}`, copy });
      return copy;
    },

    changeStatus: (memberId, status, version) =>
      changeMember.run(client, keysOf(memberId), [memberId, "status", ...numbers(version), status, ""]),

    changeMembership: (memberId, membership, version, { tellsAll = false } = {}) => {
      // Without one there is no message: one that says nothing takes no bytes either, hence the mark before it.
      const packed = membership === undefined ? "" : Buffer.concat([mark, toBinary(MembershipSchema, membership)]);
      const told = tellsAll ? toldMember(memberId) : "";
      return changeMember.run(client, keysOf(memberId), [memberId, "membership", ...numbers(version), packed, told]);
    },

    changeBranch: ({ branch, staff }, version) => {
      const data = toBinary(
        BranchUpdatedSchema,
        create(BranchUpdatedSchema, { branch: needed(branch), staff: [...staff] }),
      );
      const { branchId } = branch;
      return changeBranch.run(
        client,
        [branchKey(branchId), copyChangesKey, doubtKey, toldKey],
        [branchId, ...numbers(version), data, toldBranch(branchId)],
      );
    },

    erase: (memberId) =>
      changeMember.run(client, keysOf(memberId), [memberId, "erase", "0", "0", "DELETED", toldMember(memberId)]),
  };
}

function keysOf(memberId: string): readonly string[] {
  return [memberKey(memberId), copyChangesKey, doubtKey, toldKey];
}

const mark = Buffer.from("m");

/** Reads a person's copy as it lies in the face Redis. */
export function readMember(packed: Buffer): MemberCopy {
  const parts = packed.toString("latin1").split("|", 6);
  const [status = ""] = parts;
  const from = parts.slice(0, 5).reduce((length, part) => length + part.length + 1, 0);
  const membership = packed.subarray(from);
  return {
    status: status as MemberStatus, // Written by the script below.
    membership: membership.length === 0 ? undefined : fromBinary(MembershipSchema, membership.subarray(mark.length)),
  };
}

/** Reads a branch's copy as it lies in the face Redis. */
export function readBranch(data: Buffer): BranchCopy {
  const { branch, staff } = fromBinary(BranchUpdatedSchema, data);
  return { branch: branch ?? create(BranchSchema), staff };
}

/** What doors need of a branch. */
function needed({ branchId, ownerId, timeZone, openingHours, entryRules, state }: Branch): Branch {
  return create(BranchSchema, {
    branchId,
    ownerId,
    timeZone,
    state,
    ...(openingHours === undefined ? {} : { openingHours }),
    ...(entryRules === undefined ? {} : { entryRules }),
  });
}

function numbers({ epoch, version }: EventVersion): readonly [string, string] {
  return [String(epoch), String(version)];
}

const newerLua = `
local function is_newer(epoch, version, than_epoch, than_version)
  if epoch ~= than_epoch then return epoch > than_epoch end
  return version > than_version
end
`;
/** While copies are doubted: whoever was told again is not, be it newer or not. KEYS: doubt and told at 3 and 4. */
const toldLua = (told: string): string =>
  `if ${told} ~= '' and redis.call('EXISTS', KEYS[3]) == 1 then redis.call('SADD', KEYS[4], ${told}) end`;
const tellLua = (kind: "member" | "branch", id: string): string =>
  `redis.call('XADD', KEYS[2], 'MAXLEN', '~', ${changesMax}, '*', 'kind', '${kind}', 'id', ${id})`;

/** KEYS: the person, changes, the doubt, who was told. */
const changeMember = defineScript<void>({
  name: "change a person's copy",
  keys: 4,
  lua: `${newerLua}
local what, epoch, version, value = ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4]), ARGV[5]
local kept = redis.call('GET', KEYS[1]) or 'ACTIVE|-1|-1|-1|-1|'
local status, status_epoch, status_version, epoch_kept, version_kept, membership =
  string.match(kept, '^(%u+)|(%-?%d+)|(%-?%d+)|(%-?%d+)|(%-?%d+)|(.*)$')
${toldLua("ARGV[6]")}
if status == 'DELETED' then return end
if what == 'erase' then
  kept = 'DELETED|0|0|0|0|'
elseif what == 'status' then
  if not is_newer(epoch, version, tonumber(status_epoch), tonumber(status_version)) then return end
  kept = table.concat({value, ARGV[3], ARGV[4], epoch_kept, version_kept, membership}, '|')
else
  if not is_newer(epoch, version, tonumber(epoch_kept), tonumber(version_kept)) then return end
  kept = table.concat({status, status_epoch, status_version, ARGV[3], ARGV[4], value}, '|')
end
redis.call('SET', KEYS[1], kept)
${tellLua("member", "ARGV[1]")}`,
});

/** KEYS: the branch, changes, the doubt, who was told. */
const changeBranch = defineScript<void>({
  name: "change a branch's copy",
  keys: 4,
  lua: `${newerLua}
local epoch, version = tonumber(ARGV[2]), tonumber(ARGV[3])
local kept = redis.call('HMGET', KEYS[1], 'epoch', 'version')
${toldLua("ARGV[5]")}
if kept[1] and not is_newer(epoch, version, tonumber(kept[1]), tonumber(kept[2])) then return end
redis.call('HSET', KEYS[1], 'epoch', ARGV[2], 'version', ARGV[3], 'data', ARGV[4])
${tellLua("branch", "ARGV[1]")}`,
});
