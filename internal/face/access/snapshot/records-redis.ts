import type { RedisStore } from "../../../platform/redis/redis-store.ts";
import { createChangeReader } from "../../shared/change-reader.ts";
import type { Doubt } from "../doubt/doubt.ts";
import { branchKey, copyChangesKey, memberKey } from "../face-store/keys.ts";
import type { RecordChange, Records } from "./records.ts";

/** People whose records one command reads. */
const membersMax = 256;

/** Reads the records that `copies/store-redis.ts` writes, and follows their changes. */
export function createRedisRecords(store: RedisStore, doubt: Pick<Doubt, "following">): Records {
  const { client } = store;
  return {
    members: async (memberIds) => {
      const found: (Buffer | undefined)[] = [];
      for (let at = 0; at < memberIds.length; at += membersMax) {
        const keys = memberIds.slice(at, at + membersMax).map(memberKey);
        for (const record of await client.mgetBuffer(keys)) found.push(record ?? undefined);
      }
      return found;
    },
    branch: async (branchId) => (await client.hgetBuffer(branchKey(branchId), "data")) ?? undefined,
    follow: () =>
      doubt.following(
        createChangeReader({ connection: store.dedicated(), key: copyChangesKey, unpack: readRecordChange }),
      ),
  };
}

/** Reads an entry of the stream: field and value in turn. Throws on one that is none. */
function readRecordChange(entry: readonly Buffer[]): RecordChange {
  const [, kind, , id] = entry.map(String);
  if (id !== undefined && kind === "member") return { kind, memberId: id };
  if (id !== undefined && kind === "branch") return { kind, branchId: id };
  throw new Error("a change of a copy of an unknown kind");
}
