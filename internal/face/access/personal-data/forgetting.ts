import type { AttemptStore } from "../attempt/store.ts";
import { readMember } from "../copies/store-redis.ts";
import type { RecordChange, Records } from "../snapshot/records.ts";

/**
 * The same records; whoever follows their changes also lets the process's `own` memory of attempts forget people who were erased by another process, before it goes
 * on. Where changes were missed, the rest of the memory ends by itself: nonces within 90 seconds, who is inside with the longest stay.
 */
export function forgettingErased(records: Records, own: Pick<AttemptStore, "forget">): Records {
  const forget = async (changes: readonly RecordChange[]): Promise<void> => {
    const memberIds = [...new Set(changes.flatMap((change) => (change.kind === "member" ? [change.memberId] : [])))];
    if (memberIds.length === 0) return;
    for (const [place, record] of (await records.members(memberIds)).entries()) {
      if (record !== undefined && readMember(record).status === "DELETED") await own.forget(memberIds[place] ?? "");
    }
  };
  return {
    ...records,
    follow: () => {
      const reader = records.follow();
      return {
        ...reader,
        read: async (position) => {
          const found = await reader.read(position);
          if (found.kind === "read") await forget(found.entries.map(({ change }) => change));
          return found;
        },
      };
    },
  };
}
