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
import { toAssignment, toMembership } from "./person/message.ts";
import type { Person } from "./person/person.ts";

/** The events of user. */
export const published = [UserUpdatedSchema, UserStatusChangedSchema] as const;

/** Records an event of user. */
export type UserPublish = Publish<typeof published>;

/** Records UserUpdated with the person's present state, personal fields sealed with their key. Their row must be locked by `tx`. */
export async function publishUserUpdated(
  tx: Transaction,
  publish: UserPublish,
  random: Random,
  key: PersonKey,
  person: Person,
): Promise<void> {
  const { email, displayName, locale, timeZone, phoneNumber, pictureUri } = person;
  const contact = { email, displayName, locale, timeZone, phoneNumber, pictureUri };
  await publish(tx, UserUpdatedSchema, {
    userId: person.userId,
    contact: sealPersonal(UserContactSchema, contact, key, random),
    roleAssignments: person.roles.map(toAssignment),
    ...(person.membership === undefined ? {} : { membership: toMembership(person.membership) }),
    aggregateVersion: BigInt(person.version),
    time: timestampFromMs(person.versionTimeMs),
    status: UserStatus[person.status],
    statusVersion: BigInt(person.statusVersion),
  });
}

/** Records UserStatusChanged with the person's present status. Their row must be locked by `tx`. */
export async function publishUserStatusChanged(tx: Transaction, publish: UserPublish, person: Person): Promise<void> {
  await publish(tx, UserStatusChangedSchema, {
    userId: person.userId,
    status: UserStatus[person.status],
    aggregateVersion: BigInt(person.statusVersion),
    time: timestampFromMs(person.statusTimeMs),
    principal: person.statusPrincipal,
  });
}
