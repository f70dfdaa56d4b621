import { create } from "@bufbuild/protobuf";
import { timestampFromMs, timestampMs } from "@bufbuild/protobuf/wkt";
import type { Client } from "@connectrpc/connect";
import type { PersonKeyService } from "../../gen/muin/identity/v1/person_key_service_pb.ts";
import type { UserDataErased } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { ErasureSchema, ErasureState, type Erasure } from "../../gen/muin/identity/v1/user_service_pb.ts";
import type { Component } from "../../platform/lifecycle/component.ts";
import type { Delivery } from "../../platform/service/delivery.ts";
import { createLoop } from "../../platform/lifecycle/loop.ts";
import type { Clock } from "../../platform/clock/clock.ts";
import type { Random } from "../../platform/clock/random.ts";
import type { Database } from "../../platform/postgres/database.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import type { ErasureRecord, UserStore } from "./store.ts";
import { deleted } from "./user.ts";
import type { UserChanges } from "./user-changes.ts";

/** Bytes of an erasure's id: nobody guesses it. */
const erasureIdBytes = 16;
/** Erasures that one sweep takes up at most. */
const sweepMax = 100;

/**
 * The deletion of people, a saga. In one transaction the person's status is DELETED, all that user holds of them is gone but the
 * tombstone, the erasure is there, and UserStatusChanged recorded. Each service that holds data of people erases its own and
 * confirms. Then the key is destroyed, which is idempotent, so that a crash at any step leaves something that is finished later.
 */
export interface Erasures {
  /** Deletes a person on behalf of `principal`; of a deleted one it is the erasure that there is. `undefined` when there is no such person. */
  begin(userId: string, principal: string): Promise<ErasureRecord | undefined>;
  /** Notes that a service has erased what it held. */
  confirmed(event: UserDataErased, delivery: Delivery): Promise<void>;
  /** Destroys the keys that are due, again and again. */
  readonly sweeper: Component;
}

/** Makes the rules. */
export function createErasures(deps: {
  readonly database: Database;
  readonly store: Pick<UserStore, "get" | "beginErasure" | "erasure" | "confirmErasure" | "dueErasures" | "endErasure">;
  readonly changes: Pick<UserChanges, "changeStatus">;
  readonly personKeys: Pick<Client<typeof PersonKeyService>, "destroyPersonKey">;
  /** Services that must confirm. */
  readonly services: readonly string[];
  readonly sweepMs: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}): Erasures {
  const { database, store, changes, personKeys, services, clock, random, log } = deps;

  const sweep = async (signal: AbortSignal): Promise<void> => {
    for (const { erasureId, userId } of await store.dueErasures(sweepMax)) {
      if (signal.aborted) return;
      try {
        await personKeys.destroyPersonKey({ personId: userId }, { signal });
        await store.endErasure(erasureId, clock.now());
        log.info("a deleted person's data is erased everywhere, their key destroyed", { user_id: userId });
      } catch (error) {
        log.warn("the key of a deleted person cannot be destroyed yet", { user_id: userId, err: error });
      }
    }
  };

  return {
    begin: async (userId, principal) => {
      const known = await store.erasure({ userId });
      if (known !== undefined) return known;
      // Hexadecimal: typed after a command, base64 that begins with "-" would be taken for an option.
      const erasureId = random.bytes(erasureIdBytes).toHex();
      const begun = changes.changeStatus(userId, deleted(principal), (tx) =>
        store.beginErasure(tx, { erasureId, userId, services }, clock.now()),
      );
      // Somebody else may have been first: theirs is the one erasure that there is.
      const failure = await begun.then(
        () => undefined,
        (error: unknown) => error,
      );
      const erasure = await store.erasure({ userId });
      if (erasure === undefined && failure !== undefined) throw failure as Error;
      return erasure;
    },

    confirmed: async ({ userId, service, time }, delivery) => {
      const confirmTimeMs = time === undefined ? clock.now() : timestampMs(time);
      await delivery.once(database, (tx) => store.confirmErasure(tx, userId, service, confirmTimeMs));
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

/** An erasure as callers see it. */
export function toErasure({ erasureId, state, confirmations, createTimeMs, doneTimeMs }: ErasureRecord): Erasure {
  return create(ErasureSchema, {
    erasureId,
    state: ErasureState[state],
    confirmations: confirmations.map(({ service, confirmTimeMs }) => ({
      service,
      ...(confirmTimeMs === undefined ? {} : { confirmTime: timestampFromMs(confirmTimeMs) }),
    })),
    createTime: timestampFromMs(createTimeMs),
    ...(doneTimeMs === undefined ? {} : { doneTime: timestampFromMs(doneTimeMs) }),
  });
}
