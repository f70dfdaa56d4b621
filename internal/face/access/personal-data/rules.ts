import { AccessDataSchema } from "../../../gen/muin/face/v1/access_data_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import type { Random } from "../../../platform/clock/random.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { Delivery } from "../../../platform/service/delivery.ts";
import { personalData, type PersonalData } from "../../../platform/service/parts.ts";
import { personalJson } from "../../../shared/person/personal-json.ts";
import type { AttemptStore } from "../attempt/store.ts";
import type { CopyStore } from "../copies/store.ts";
import type { EntryQuery, EntryStore } from "../entry/store.ts";
import { announceErasure, type AccessPublish } from "../events.ts";

/** A copy holds at most so many entries: the newest. */
const exportedMax = 10_000;
/** Of chance in a pseudonym: no two are alike, and none tells whose it is. */
const pseudonymBytes = 16;

/** Lets go of people. */
export interface Erasure {
  readonly part: PersonalData;
  /** Makes a name that says nothing. */
  readonly newPseudonym: () => string;
  /** Erases a person who was deleted, and then says so. */
  erasePerson(userId: string, aggregateVersion: bigint, delivery: Delivery): Promise<void>;
}

/**
 * All that access holds of a person: a copy of it is an AccessData as JSON. Erased, nothing is left but that they are deleted: their entries hold one pseudonym,
 * of which nothing says whose it was; those that were decided before and are recorded later, each another one.
 */
export function createErasure(deps: {
  readonly database: Database;
  readonly copies: Pick<CopyStore, "member" | "erase">;
  /** The shared memory of attempts, and the process's own. */
  readonly attempts: readonly Pick<AttemptStore, "forget">[];
  readonly entries: Pick<EntryStore, "list" | "erase">;
  readonly publish: AccessPublish;
  readonly clock: Pick<Clock, "now">;
  readonly random: Pick<Random, "bytes">;
}): Erasure {
  const { database, copies, attempts, entries, publish, clock, random } = deps;
  const newPseudonym = (): string => `erased-${random.bytes(pseudonymBytes).toHex()}`;
  const part = personalData({
    exportOf: async (userId) => {
      const copy = await copies.member(userId);
      const own = await entries.list(database.sql, entriesOf(userId), undefined, exportedMax);
      if (own.length === 0 && (copy === undefined || copy.status === "DELETED")) return undefined;
      const membership = copy?.membership;
      return personalJson(AccessDataSchema, {
        ...(membership === undefined ? {} : { membership }),
        entries: [...own],
      });
    },

    erase: async (tx, userId) => {
      // First: no door lets them in any more, and so no new trace of them arises.
      await copies.erase(userId);
      for (const memory of attempts) await memory.forget(userId);
      await entries.erase(tx, userId, newPseudonym());
    },
  });
  return {
    part,
    newPseudonym,
    erasePerson: async (userId, aggregateVersion, delivery) => {
      await delivery.once(database, async (tx) => {
        await part.erase(tx, userId);
        await announceErasure(tx, publish, userId, aggregateVersion, clock.now());
      });
    },
  };
}

function entriesOf(memberId: string): EntryQuery {
  return {
    memberId,
    branchId: undefined,
    deviceId: undefined,
    decision: undefined,
    reason: undefined,
    kind: undefined,
    fromMs: undefined,
    untilMs: undefined,
  };
}
