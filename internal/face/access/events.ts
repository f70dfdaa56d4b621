import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { EntryDeniedSchema, EntryGrantedSchema } from "../../gen/muin/face/v1/entry_events_pb.ts";
import { Decision, type Entry } from "../../gen/muin/face/v1/entry_pb.ts";
import { BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { UserDataErasedSchema, UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { republishRequest } from "../../platform/events/republish-request.ts";
import { topicOf } from "../../platform/events/topics.ts";
import type { Transaction } from "../../platform/postgres/database.ts";
import type { EventRecord } from "../../platform/service/event-record.ts";
import type { Publish } from "../../platform/service/delivery.ts";

/** Events that access publishes. */
export const published = [EntryGrantedSchema, EntryDeniedSchema, UserDataErasedSchema] as const;

/** Topics of which access keeps copies. */
const copied = [topicOf(UserUpdatedSchema), topicOf(BranchUpdatedSchema)] as const;

/** Asks the owners of people and branches to tell all of them again. */
export function requestsForCopies(deps: Parameters<typeof republishRequest>[3]): readonly EventRecord[] {
  return copied.map((topic) => republishRequest("access", topic, undefined, deps));
}

/** Records one of access's events in a transaction. */
export type AccessPublish = Publish<typeof published>;

/** What others are told of an entry; `undefined` for an exit, of which they are told nothing. */
export function eventOf(entry: Entry, publish: Pick<AccessPublish, "make">): EventRecord | undefined {
  const { branchId, entryId, deviceId, kind, memberId, reason, decideTime } = entry;
  const about = { branchId, entryId, deviceId, kind, ...(decideTime === undefined ? {} : { time: decideTime }) };
  if (entry.decision === Decision.GRANTED) return publish.make(EntryGrantedSchema, { ...about, memberId });
  return entry.decision === Decision.DENIED ? publish.make(EntryDeniedSchema, { ...about, reason }) : undefined;
}

/** Records that everything of a deleted person is gone here. */
export async function announceErasure(
  tx: Transaction,
  publish: AccessPublish,
  userId: string,
  aggregateVersion: bigint,
  nowMs: number,
): Promise<void> {
  await publish(tx, UserDataErasedSchema, {
    userId,
    service: "access",
    aggregateVersion,
    time: timestampFromMs(nowMs),
  });
}
