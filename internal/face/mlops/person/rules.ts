import type { UserCreated, UserStatusChanged } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import { eventVersion } from "../../../platform/service/event-version.ts";
import type { PersonErasures } from "../personal-data/rules.ts";
import type { PersonStore } from "./store.ts";

/** What mlops makes of the news of people. An event that is not newer than the copy changes nothing. */
export interface PersonRules {
  /** The person may be enrolled. */
  created(event: UserCreated): Promise<void>;
  /** Suspended: the person can do nothing here, until they are active again. Deleted: their faces are erased; then UserDataErased. */
  statusChanged(event: UserStatusChanged, delivery: Delivery): Promise<void>;
}

export function createPersonRules(deps: {
  readonly database: Database;
  readonly people: Pick<PersonStore, "signedUp" | "changedStatus">;
  readonly erasures: Pick<PersonErasures, "deleted">;
}): PersonRules {
  const { database, people, erasures } = deps;
  return {
    created: ({ userId }) => database.transaction((tx) => people.signedUp(tx, userId)),

    statusChanged: async ({ userId, status, aggregateVersion }, delivery) => {
      const version = eventVersion(delivery, aggregateVersion);
      await delivery.once(database, async (tx) => {
        switch (status) {
          case UserStatus.ACTIVE:
            return people.changedStatus(tx, userId, "ACTIVE", version);
          case UserStatus.SUSPENDED:
            return people.changedStatus(tx, userId, "SUSPENDED", version);
          case UserStatus.DELETED:
            // Nothing follows it, so it is never outdated.
            return erasures.deleted(tx, userId, aggregateVersion);
          case UserStatus.UNSPECIFIED:
          default:
            return; // A status that this version does not know changes nothing here.
        }
      });
    },
  };
}
