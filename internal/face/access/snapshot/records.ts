import type { ChangeReader } from "../../shared/change-stream.ts";

/** Says that what access keeps of a person or a branch in the face Redis has changed. */
export type RecordChange =
  { readonly kind: "member"; readonly memberId: string } | { readonly kind: "branch"; readonly branchId: string };

/** What access keeps of people and branches beside the faces, without which nobody could be let in while the store is away. */
export interface Records {
  /** The records of people as they are stored, in this order; `undefined` where there is none. Throws UNAVAILABLE, reason STORE_UNAVAILABLE. */
  members(memberIds: readonly string[]): Promise<readonly (Buffer | undefined)[]>;
  /** The record of a branch. As `members`. */
  branch(branchId: string): Promise<Buffer | undefined>;
  /** Opens a connection that follows their changes. */
  follow(): ChangeReader<RecordChange>;
}
