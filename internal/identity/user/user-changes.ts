import { timestampMs } from "@bufbuild/protobuf/wkt";
import { UserProfileSchema, type UserCreated } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { Delivery } from "../../platform/service/delivery.ts";
import type { Random } from "../../platform/clock/random.ts";
import { republishAll } from "../../platform/resource/republish.ts";
import type { PersonKeyReader } from "../../shared/person/person-key-reader.ts";
import type { PersonKey } from "../../shared/person/person-seal.ts";
import type { Database } from "../../platform/postgres/database.ts";
import { userErrors } from "./errors.ts";
import { publishUserStatusChanged, publishUserUpdated, type UserPublish } from "./events.ts";
import type { Announce, UserStore } from "./store.ts";
import { newcomer, type Change, type UserRecord } from "./user.ts";

/** People who are announced again in one transaction. */
const republishPage = 200;

/** Makes changes of people, and announces each in the transaction that makes it. */
export interface UserChanges {
  /** Takes over who has just signed up, unless they were erased meanwhile. Rejects while auth cannot be asked for their key. */
  signedUp(event: UserCreated, delivery: Delivery): Promise<void>;
  /** Changes what UserUpdated carries of a person. `undefined`: there is none. Throws what the change throws, or UNAVAILABLE. */
  update(userId: string, change: Change, options?: { readonly guarded?: boolean }): Promise<UserRecord | undefined>;
  /** Changes a person's status alone: needs nobody but the database. */
  changeStatus(userId: string, change: Change, also?: Announce): Promise<UserRecord | undefined>;
  /** Announces everybody again at their versions, and who was ever suspended or deleted with their status. Returns how many. */
  republish(): Promise<number>;
  /** Announces the status of those again whose erasure not every service has confirmed, so that each confirms it again. */
  reannounceErasing(): Promise<void>;
}

/** Makes the rules. */
export function createUserChanges(deps: {
  readonly database: Database;
  readonly store: Pick<UserStore, "get" | "add" | "change" | "ids" | "erasingIds" | "republish">;
  readonly keys: PersonKeyReader;
  readonly publish: UserPublish;
  readonly random: Random;
}): UserChanges {
  const { database, store, keys, publish, random } = deps;

  const announceWith =
    (person: PersonKey | undefined): Announce =>
    async (tx, after, before) => {
      if (after.version > before.version && after.status !== "DELETED") {
        // Only who is deleted has no key.
        if (person === undefined)
          throw new Error(`the key of person ${after.userId} is destroyed, the person is not deleted`);
        await publishUserUpdated(tx, publish, random, person, after);
      }
      if (after.statusVersion > before.statusVersion) await publishUserStatusChanged(tx, publish, after);
    };

  return {
    signedUp: async ({ userId, profile, roles, aggregateVersion, time }, delivery) => {
      const known = profile && (await keys.open(UserProfileSchema, profile));
      const person = await keys.keyOf(userId);
      if (known === undefined || person === undefined) return; // Erased.
      const createTimeMs = time === undefined ? 0 : timestampMs(time);
      const record = newcomer({ userId, email: known.email, displayName: known.displayName }, roles, createTimeMs);
      await delivery.once(database, (tx) => store.add(tx, record, aggregateVersion, announceWith(person)));
    },

    update: async (userId, change, options) => {
      if ((await store.get(userId)) === undefined) return undefined; // Nobody's key is asked for.
      const person = await keys.keyOf(userId).catch((error: unknown) => {
        throw userErrors.personKeyUnavailable({ cause: error });
      });
      return store.change(userId, change, announceWith(person), options);
    },

    changeStatus: (userId, change, also) =>
      store.change(
        userId,
        change,
        async (tx, after, before) => {
          await announceWith(undefined)(tx, after, before);
          await also?.(tx, after, before);
        },
        { guarded: true },
      ),

    reannounceErasing: async () => {
      await republishAll(async (after) => {
        const userIds = await store.erasingIds(after, republishPage);
        await store.republish(userIds, announceWith(undefined));
        return { last: userIds.at(-1) ?? "", recorded: userIds.length };
      });
    },

    republish: () =>
      republishAll(async (after) => {
        const userIds = await store.ids(after, republishPage);
        // Before the transaction, which nothing else may keep open.
        const people = new Map(
          await Promise.all(userIds.map(async (userId) => [userId, await keys.keyOf(userId)] as const)),
        );
        await store.republish(userIds, (tx, record, before) =>
          announceWith(people.get(record.userId))(tx, record, before),
        );
        return { last: userIds.at(-1) ?? "", recorded: userIds.length };
      }),
  };
}
