import type { Clock } from "../../../platform/clock/clock.ts";
import { timeout } from "../../../platform/lifecycle/timeout.ts";
import { accessErrors } from "../errors.ts";
import { isAway } from "../face-store/watch.ts";
import type { CopyReader } from "./store.ts";

/** Without a copy nothing can be decided: it is waited for so long. */
const readMsMax = 1000;

/** Reads copies for doors. Throws FACE_STORE_UNAVAILABLE while they cannot be read. */
export function createCurrentCopies(copies: CopyReader, clock: Pick<Clock, "sleep">): CopyReader {
  const read = async <T>(work: () => Promise<T>): Promise<T> => {
    try {
      return await timeout(clock, readMsMax, work);
    } catch (error) {
      throw isAway(error) ? accessErrors.faceStoreUnavailable({ cause: error }) : error;
    }
  };
  return {
    member: (memberId) => read(() => copies.member(memberId)),
    branch: (branchId) => read(() => copies.branch(branchId)),
  };
}
