import type { Clock } from "../../../platform/clock/clock.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import { accessErrors } from "../errors.ts";
import { isAway, type StoreWatch } from "../face-store/watch.ts";
import { readBranch } from "./store-redis.ts";
import type { BranchCopy, CopyReader } from "./store.ts";

/** Without a copy nothing can be decided: it is waited for so long. */
const readMsMax = 1000;

/**
 * Reads copies for doors; that of a branch which this process has a snapshot of is taken from there while the store is away. Throws FACE_STORE_UNAVAILABLE while
 * a copy cannot be had.
 */
export function createCurrentCopies(deps: {
  readonly copies: CopyReader;
  readonly watch: StoreWatch;
  /** A branch's copy as it is stored, in what this process knows itself. `undefined`: it knows nothing of the branch, or nothing that is young enough. */
  readonly snapshot: (branchId: string) => { readonly branch: Buffer | undefined } | undefined;
  readonly clock: Pick<Clock, "sleep">;
}): CopyReader {
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
  return {
    member: (memberId) => read(() => copies.member(memberId)),
    branch: async (branchId) => {
      if (snapshot(branchId) === undefined) return read(() => copies.branch(branchId));
      const answer = await watch.ask(() => copies.branch(branchId));
      if (answer.kind === "answered") return answer.value;
      const known = snapshot(branchId);
      return known === undefined ? read(() => copies.branch(branchId)) : known.branch && parse(known.branch);
    },
  };
}
