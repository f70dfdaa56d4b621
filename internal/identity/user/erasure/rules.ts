import { timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import type { PersonKeyService } from "../../../gen/muin/identity/v1/person_key_service_pb.ts";
import type { UserDataErased } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Component } from "../../../platform/lifecycle/component.ts";
import { createLoop } from "../../../platform/lifecycle/loop.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { republishAll } from "../../../platform/resource/republish.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { publishUserStatusChanged, type UserPublish } from "../events.ts";
import type { Acting } from "../person/acting.ts";
import { changed, erased, type Change, type ChangeRefusal } from "../person/person.ts";
import type { PersonStore } from "../person/store.ts";
import type { PreferenceStore } from "../preference/store.ts";
import type { ErasureStore, StoredErasure } from "./store.ts";

/** Bytes of an erasure's id: nobody guesses it. */
const erasureIdBytes = 16;
/** Erasures that one sweep takes up at most. */
const sweepMax = 100;
/** People who are announced again in one transaction. */
const reannouncePage = 200;
/** Who deletes whose account has lapsed. */
const itself = "service:user";

/**
 * The deletion of people, a saga. In one transaction the person's status is DELETED, all that user holds of them is gone but the
 * tombstone, the erasure is there, and UserStatusChanged recorded. Each service that holds data of people erases its own and
 * confirms. Then the key is destroyed, which is idempotent, so that a crash at any step leaves something that is finished later.
 */
export interface ErasureRules {
  /** Deletes a person on behalf of the caller; of a deleted one it is the erasure that there is. */
  begin(userId: string, caller: Caller): Promise<StoredErasure | ChangeRefusal>;
  /** Deletes a person whose account is to go, since nobody proved its address in time. */
  lapsed(userId: string): Promise<StoredErasure | ChangeRefusal>;
  /** Notes that a service has erased what it held. */
  confirmed(event: UserDataErased, delivery: Delivery): Promise<void>;
  /** Announces the status of those again whose erasure not every service has confirmed, so that each confirms it again. */
  reannounce(): Promise<void>;
  /** Destroys the keys that are due, again and again. */
  readonly sweeper: Component;
}

/** What deletions work on: people and what user keeps of them, whom to ask and to tell, and who must confirm. */
interface ErasureDeps {
  readonly database: Database;
  readonly people: Pick<PersonStore, "otherAdministrators" | "lock" | "lockAll" | "save">;
  readonly acting: Pick<Acting, "by">;
  readonly preferences: Pick<PreferenceStore, "remove">;
  readonly erasures: Omit<ErasureStore, "get">;
  readonly personKeys: Pick<Client<typeof PersonKeyService>, "destroyPersonKey">;
  readonly publish: UserPublish;
  /** Names of the services that must confirm. */
  readonly services: readonly string[];
  /** Pause between two sweeps, in milliseconds. */
  readonly sweepMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export function createErasureRules(deps: ErasureDeps): ErasureRules {
  const { database, people, acting, erasures, personKeys, publish, clock, log } = deps;

  const sweep = async (signal: AbortSignal): Promise<void> => {
    for (const { erasureId, userId } of await erasures.due(database.sql, sweepMax)) {
      if (signal.aborted) return;
      try {
        await personKeys.destroyPersonKey({ personId: userId }, { signal });
        await erasures.end(database.sql, erasureId, clock.now());
        log.info("a deleted person's data is erased everywhere, their key destroyed", { user_id: userId });
      } catch (error) {
        log.warn("the key of a deleted person cannot be destroyed yet", { user_id: userId, err: error });
      }
    }
  };

  return {
    begin: async (userId, caller) =>
      begin(deps, userId, await acting.by(caller, userId, (person) => erased(person, caller.principal))),

    lapsed: (userId) => begin(deps, userId, (person) => erased(person, itself)),

    confirmed: async ({ userId, service, time }, delivery) => {
      const confirmTimeMs = time === undefined ? clock.now() : timestampMs(time);
      await delivery.once(database, (tx) => erasures.confirm(tx, userId, service, confirmTimeMs));
    },

    reannounce: async () => {
      await republishAll(async (after) => {
        const userIds = await erasures.erasingIds(database.sql, after, reannouncePage);
        await database.transaction(async (tx) => {
          for (const person of await people.lockAll(tx, userIds)) await publishUserStatusChanged(tx, publish, person);
        });
        return { last: userIds.at(-1) ?? "", recorded: userIds.length };
      });
    },

    sweeper: createLoop({
      name: "user erasure sweeper",
      clock,
      everyMs: deps.sweepMs,
      work: sweep,
      onFailure: (error) => log.warn("a sweep failed", { err: error }),
    }),
  };
}

/** Deletes a person in one transaction, as `ErasureRules` says; of a deleted one it is the erasure that there is. */
function begin(deps: ErasureDeps, userId: string, decide: Change): Promise<StoredErasure | ChangeRefusal> {
  const { database, people, preferences, erasures, publish, services, clock, random } = deps;
  return database.transaction(async (tx) => {
    const others = await people.otherAdministrators(tx, userId);
    const before = await people.lock(tx, userId);
    // Somebody else may have been first: theirs is the one erasure that there is.
    const known = before && (await erasures.find(tx, userId));
    if (known !== undefined) return known;
    const after = changed(userId, before, decide, others, clock.now());
    if (isRefusal(after)) return after;
    const erasure: StoredErasure = {
      // Hexadecimal: typed after a command, base64 that begins with "-" would be taken for an option.
      erasureId: random.bytes(erasureIdBytes).toHex(),
      userId,
      state: "ERASING",
      confirmations: services.toSorted().map((service) => ({ service, confirmTimeMs: undefined })),
      createTimeMs: clock.now(),
      doneTimeMs: undefined,
    };
    await people.save(tx, after);
    await preferences.remove(tx, userId);
    await erasures.add(tx, erasure);
    await publishUserStatusChanged(tx, publish, after);
    return erasure;
  });
}
