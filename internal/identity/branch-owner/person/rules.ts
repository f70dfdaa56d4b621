import { eventVersion } from "../../../platform/service/event-version.ts";
import {
  UserContactSchema,
  UserProfileSchema,
  type UserCreated,
  type UserStatusChanged,
  type UserUpdated,
} from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { PersonalData } from "../../../platform/service/parts.ts";
import type { PersonKeyReader } from "../../../shared/person/person-key-reader.ts";
import { announceErasure, type BranchPublish } from "../events.ts";
import type { PersonStore } from "./store.ts";

/** What branch-owner makes of the news of people. An event that is not newer than the copy changes nothing. */
export interface PersonRules {
  /** The person may become an owner or staff. */
  created(event: UserCreated, delivery: Delivery): Promise<void>;
  /** The person's name for people. */
  updated(event: UserUpdated, delivery: Delivery): Promise<void>;
  /**
   * Suspended: the person can do nothing here, until they are active again. Deleted: nothing personal is left of them, they work
   * nowhere, and what they own is closed; then UserDataErased.
   */
  statusChanged(event: UserStatusChanged, delivery: Delivery): Promise<void>;
}

export function createPersonRules(deps: {
  readonly database: Database;
  readonly people: Pick<PersonStore, "signedUp" | "renamed" | "changedStatus">;
  readonly personalData: Pick<PersonalData, "erase">;
  readonly keys: Pick<PersonKeyReader, "open">;
  readonly publish: BranchPublish;
  readonly clock: Pick<Clock, "now">;
}): PersonRules {
  const { database, people, personalData, keys, publish, clock } = deps;
  return {
    created: async ({ userId, profile }) => {
      const opened = profile && (await keys.open(UserProfileSchema, profile));
      if (profile !== undefined && opened === undefined) return; // The person was erased.
      // What comes again changes nothing here, as in `updated`: no inbox is needed.
      await database.transaction((tx) => people.signedUp(tx, userId, opened?.displayName ?? ""));
    },

    updated: async ({ userId, contact, aggregateVersion }, delivery) => {
      const version = eventVersion(delivery, aggregateVersion);
      const opened = contact && (await keys.open(UserContactSchema, contact));
      if (opened === undefined) return; // The person was erased.
      await database.transaction((tx) => people.renamed(tx, userId, opened.displayName, version));
    },

    statusChanged: async ({ userId, status, aggregateVersion }, delivery) => {
      const version = eventVersion(delivery, aggregateVersion);
      await delivery.once(database, async (tx) => {
        switch (status) {
          case UserStatus.ACTIVE:
            return people.changedStatus(tx, userId, "ACTIVE", version);
          case UserStatus.SUSPENDED:
            return people.changedStatus(tx, userId, "SUSPENDED", version);
          case UserStatus.DELETED:
            // Nothing follows it, so it is never outdated. Whoever asks again is told again.
            await personalData.erase(tx, userId);
            return announceErasure(tx, publish, userId, aggregateVersion, clock.now());
          case UserStatus.UNSPECIFIED:
          default:
            return; // A status that this version does not know changes nothing here.
        }
      });
    },
  };
}
