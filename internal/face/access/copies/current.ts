import type { Clock } from "../../../platform/clock/clock.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import { accessErrors } from "../errors.ts";
import { isAway, type StoreWatch } from "../face-store/watch.ts";
import type { Known } from "../snapshot/branch-copy.ts";
import { readBranch, readMember } from "./store-redis.ts";
import type { BranchCopy, CopyReader, Visitor, VisitorReader } from "./store.ts";

/** What a snapshot knows of a branch. */
interface BranchRecords {
  readonly branch: Buffer | undefined;
  member(memberId: string): Known;
}

/** Without a copy nothing can be decided: it is waited for so long. */
const readMsMax = 1000;

/**
 * Reads copies for doors; that of a branch which this process has a snapshot of is taken from there while the store is away, and
 * those of a visitor whose face it has. Throws FACE_STORE_UNAVAILABLE while
 * a copy cannot be had.
 */
export function createCurrentCopies(deps: {
  readonly copies: CopyReader;
  readonly watch: StoreWatch;
  /** A branch's copy as it is stored, in what this process knows itself. `undefined`: it knows nothing of the branch, or nothing that is young enough. */
  readonly snapshot: (branchId: string) => BranchRecords | undefined;
  readonly clock: Pick<Clock, "sleep">;
}): CopyReader & VisitorReader {
  const { copies, watch, snapshot, clock } = deps;
  const parsed = new WeakMap<Buffer, BranchCopy>();
  const parse = (data: Buffer): BranchCopy => {
    const copy = parsed.get(data) ?? readBranch(data);
    parsed.set(data, copy);
    return copy;
  };
  const read = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await timeout(clock, readMsMax, work);
    } catch (error) {
      throw isAway(error) ? accessErrors.faceStoreUnavailable({ cause: error }) : error;
    }
  };
  const readVisitor = async (branchId: string, memberId: string): Promise<Visitor> => {
    const [branch, member] = await Promise.all([copies.branch(branchId), copies.member(memberId)]);
    return { branch, member };
  };
  /** A visitor by the snapshot alone. */
  const known = (branchId: string, memberId: string): Visitor | undefined => {
    const records = snapshot(branchId);
    const person = records?.member(memberId);
    if (records === undefined || person === undefined || person === "unread") return undefined;
    return { branch: records.branch && parse(records.branch), member: person.record && readMember(person.record) };
  };
  return {
    visitor: async (branchId, memberId) => {
      if (known(branchId, memberId) !== undefined) {
        const answer = await watch.ask(() => readVisitor(branchId, memberId));
        if (answer.kind === "answered") return { ...answer.value, by: "store" };
        const instead = known(branchId, memberId);
        if (instead !== undefined) return { ...instead, by: "snapshot" };
      }
      return { ...(await read(() => readVisitor(branchId, memberId))), by: "store" };
    },

    member: (memberId) => read(() => copies.member(memberId)),
    branch: async (branchId) => {
      if (snapshot(branchId) === undefined) return read(() => copies.branch(branchId));
      const answer = await watch.ask(() => copies.branch(branchId));
      if (answer.kind === "answered") return answer.value;
      const records = snapshot(branchId);
      return records === undefined ? read(() => copies.branch(branchId)) : records.branch && parse(records.branch);
    },
  };
}
