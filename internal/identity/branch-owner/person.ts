import { UserStatus } from "../../gen/muin/identity/v1/user_pb.ts";
import {
  UserContactSchema,
  UserProfileSchema,
  type UserCreated,
  type UserStatusChanged,
  type UserUpdated,
} from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { Delivery } from "../../platform/service/delivery.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import type { PersonKeyReader } from "../../shared/person/person-key-reader.ts";
import type { Database, Transaction } from "../../platform/postgres/database.ts";
import { announceErasure, type BranchPublish } from "./events.ts";
import type { BranchStore } from "./store-postgres.ts";

/** What branch-owner makes of the news of people. An event that is not newer than the copy changes nothing. */
export interface People {
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

/** Makes the rules. */
export function createPeople(deps: {
  readonly database: Database;
  readonly publish: BranchPublish;
  readonly store: BranchStore;
  readonly keys: Pick<PersonKeyReader, "open">;
  readonly clock: Clock;
}): People {
  const { database, publish, store, keys, clock } = deps;

  const erase = async (tx: Transaction, userId: string, version: bigint): Promise<void> => {
    await tx`
      INSERT INTO people (user_id, display_name, status, status_version)
      VALUES (${userId}, '', 'DELETED', ${version.toString()})
      ON CONFLICT (user_id) DO UPDATE SET display_name = '', status = 'DELETED', status_version = excluded.status_version`;
    await tx`
      UPDATE owners SET company_name = '', contact_email = '', contact_phone_number = '', version = version + 1,
        update_time = ${new Date(clock.now())}
      WHERE user_id = ${userId}`;
    await tx`DELETE FROM request_memory WHERE principal = ${`person:${userId}`}`;
    // Closed ones too: who reopens one at this moment holds its lock, and it is closed again.
    for (const record of await store.lockOf(tx, userId)) {
      const { count } = await tx`DELETE FROM staff WHERE branch_id = ${record.branchId} AND user_id = ${userId}`;
      const isRun = record.ownerId === userId && record.state === "ACTIVE";
      if (count > 0 || isRun) await store.save(tx, { ...record, state: isRun ? "CLOSED" : record.state });
    }
  };

  return {
    created: async ({ userId, profile }, delivery) => {
      const opened = profile && (await keys.open(UserProfileSchema, profile));
      if (profile !== undefined && opened === undefined) return; // The person was erased.
      await delivery.once(database, async (tx) => {
        await tx`
          INSERT INTO people AS p (user_id, display_name, status) VALUES (${userId}, ${opened?.displayName ?? ""}, 'ACTIVE')
          ON CONFLICT (user_id) DO UPDATE SET display_name = excluded.display_name
          WHERE p.profile_version = 0 AND p.status <> 'DELETED'`;
      });
    },

    updated: async ({ userId, contact, aggregateVersion }, delivery) => {
      const opened = contact && (await keys.open(UserContactSchema, contact));
      if (opened === undefined) return; // The person was erased.
      await delivery.once(database, async (tx) => {
        await tx`
          INSERT INTO people AS p (user_id, display_name, status, profile_version)
          VALUES (${userId}, ${opened.displayName}, 'ACTIVE', ${aggregateVersion.toString()})
          ON CONFLICT (user_id) DO UPDATE
            SET display_name = excluded.display_name, profile_version = excluded.profile_version
          WHERE p.profile_version < excluded.profile_version AND p.status <> 'DELETED'`;
      });
    },

    statusChanged: async ({ userId, status, aggregateVersion }, delivery) => {
      await delivery.once(database, async (tx) => {
        switch (status) {
          case UserStatus.ACTIVE:
          case UserStatus.SUSPENDED:
            await tx`
              INSERT INTO people AS p (user_id, display_name, status, status_version)
              VALUES (${userId}, '', ${status === UserStatus.ACTIVE ? "ACTIVE" : "SUSPENDED"}, ${aggregateVersion.toString()})
              ON CONFLICT (user_id) DO UPDATE SET status = excluded.status, status_version = excluded.status_version
              WHERE p.status_version < excluded.status_version AND p.status <> 'DELETED'`;
            return;
          case UserStatus.DELETED:
            // Nothing follows it, so it is never outdated. Whoever asks again is told again.
            await erase(tx, userId, aggregateVersion);
            return announceErasure(tx, publish, userId, aggregateVersion, clock.now());
          case UserStatus.UNSPECIFIED:
          default:
            return; // A status that this version does not know changes nothing here.
        }
      });
    },
  };
}
