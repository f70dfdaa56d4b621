import { eventVersion } from "../../../platform/service/event-version.ts";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { UserProfileSchema, type UserCreated } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { republishAll } from "../../../platform/resource/republish.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { PersonKeyReader } from "../../../shared/person/person-key-reader.ts";
import type { PersonKey } from "../../../shared/person/person-seal.ts";
import { refuse, userErrors } from "../errors.ts";
import { publishUserStatusChanged, publishUserUpdated, type UserPublish } from "../events.ts";
import { changed, newcomer, revised, type Change, type ChangeRefusal, type Person } from "./person.ts";
import type { PersonStore } from "./store.ts";

/** People who are announced again in one transaction. */
const republishPage = 200;

/** What all of user's nouns do with people. */
export interface PersonRules {
  /** Takes over who has just signed up, unless they were erased meanwhile. Rejects while auth cannot be asked for their key. */
  signedUp(event: UserCreated, delivery: Delivery): Promise<void>;
  /**
   * Changes what UserUpdated carries of a person, and announces it in the same transaction. `keepsAdministrator` refuses to take the
   * last administrator away. Throws UNAVAILABLE, reason IDENTITY_UNAVAILABLE, when auth cannot be asked for their key.
   */
  update(
    userId: string,
    change: Change,
    options?: { readonly keepsAdministrator?: boolean },
  ): Promise<Person | ChangeRefusal>;
  /** Announces everybody again at their versions, and who was ever suspended or deleted with their status. Returns how many. */
  republish(): Promise<number>;
}

export function createPersonRules(deps: {
  readonly database: Database;
  readonly people: PersonStore;
  readonly keys: PersonKeyReader;
  readonly publish: UserPublish;
  readonly clock: Pick<Clock, "now">;
  readonly random: Random;
}): PersonRules {
  const { database, people, keys, publish, clock, random } = deps;

  return {
    signedUp: async ({ userId, profile, roles, aggregateVersion, time }, delivery) => {
      const account = profile && (await keys.open(UserProfileSchema, profile));
      const key = await keys.keyOf(userId);
      if (account === undefined || key === undefined) return; // Erased.
      const { email, displayName } = account;
      const first = newcomer({ userId, email, displayName }, roles, time === undefined ? 0 : timestampMs(time));
      const version = eventVersion(delivery, aggregateVersion);
      // Row and version tell a repeat: no inbox is needed.
      await database.transaction(async (tx) => {
        if (await people.add(tx, first, version)) return publishUserUpdated(tx, publish, random, key, first);
        const before = await people.lock(tx, userId);
        if (before === undefined || before.status === "DELETED") return;
        if (!(await people.advanceAccount(tx, userId, version))) return;
        // Of who is here already only the address is auth's to say.
        const after = revised(before, { ...before, email }, clock.now());
        if (after === before) return;
        await people.save(tx, after);
        await publishUserUpdated(tx, publish, random, key, after);
      });
    },

    update: async (userId, change, { keepsAdministrator = false } = {}) => {
      // Nobody's key is asked for.
      if ((await people.get(database.sql, userId)) === undefined) return refuse("userNotFound", { user_id: userId });
      const key = await keys.keyOf(userId).catch((cause: unknown) => {
        throw userErrors.personKeyUnavailable({ cause });
      });
      return database.transaction(async (tx) => {
        const others = keepsAdministrator ? await people.otherAdministrators(tx, userId) : Infinity;
        const before = await people.lock(tx, userId);
        const after = changed(userId, before, change, others, clock.now());
        if (isRefusal(after) || after === before) return after;
        await people.save(tx, after);
        await publishUserUpdated(tx, publish, random, present(key, after), after);
        return after;
      });
    },

    republish: () =>
      republishAll(async (after) => {
        const userIds = await people.ids(database.sql, after, republishPage);
        // Before the transaction, which nothing else may keep open.
        const found = await Promise.all(userIds.map(async (userId) => [userId, await keys.keyOf(userId)] as const));
        const keyOf = new Map(found);
        await database.transaction(async (tx) => {
          for (const person of await people.lockAll(tx, userIds)) {
            // Of who is deleted there is nothing more to say than that, and of who was always active nothing of their status.
            if (person.status !== "DELETED") {
              await publishUserUpdated(tx, publish, random, present(keyOf.get(person.userId), person), person);
            }
            if (person.statusVersion > 1) await publishUserStatusChanged(tx, publish, person);
          }
        });
        return { last: userIds.at(-1) ?? "", recorded: userIds.length };
      }),
  };
}

/** The key of somebody who is not deleted: only who is has none. */
function present(key: PersonKey | undefined, { userId }: Person): PersonKey {
  if (key === undefined) throw new Error(`the key of person ${userId} is destroyed, the person is not deleted`);
  return key;
}
