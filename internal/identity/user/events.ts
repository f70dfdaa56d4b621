import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  UserContactSchema,
  UserStatusChangedSchema,
  UserUpdatedSchema,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../gen/muin/identity/v1/user_pb.ts";
import type { Publish } from "../../platform/service/delivery.ts";
import type { Random } from "../../platform/clock/random.ts";
import { sealPersonal, type PersonKey } from "../../shared/person/person-seal.ts";
import type { Transaction } from "../../platform/postgres/database.ts";
import { toAssignment, toMembership, type UserRecord } from "./user.ts";

/** The events of user. */
export const published = [UserUpdatedSchema, UserStatusChangedSchema] as const;

/** Records an event of user. */
export type UserPublish = Publish<typeof published>;

/** Records UserUpdated with the person's present state. Their row must be locked by `tx`. */
export async function publishUserUpdated(
  tx: Transaction,
  publish: UserPublish,
  random: Random,
  person: PersonKey,
  record: UserRecord,
): Promise<void> {
  const { email, displayName, locale, timeZone, phoneNumber, pictureUri } = record;
  const contact = { email, displayName, locale, timeZone, phoneNumber, pictureUri };
  await publish(tx, UserUpdatedSchema, {
    userId: record.userId,
    contact: sealPersonal(UserContactSchema, contact, person, random),
    roleAssignments: record.roles.map(toAssignment),
    ...(record.membership === undefined ? {} : { membership: toMembership(record.membership) }),
    aggregateVersion: BigInt(record.version),
    time: timestampFromMs(record.versionTimeMs),
  });
}

/** Records UserStatusChanged with the person's present status. Their row must be locked by `tx`. */
export async function publishUserStatusChanged(
  tx: Transaction,
  publish: UserPublish,
  record: UserRecord,
): Promise<void> {
  await publish(tx, UserStatusChangedSchema, {
    userId: record.userId,
    status: UserStatus[record.status],
    aggregateVersion: BigInt(record.statusVersion),
    time: timestampFromMs(record.statusTimeMs),
    principal: record.statusPrincipal,
  });
}
