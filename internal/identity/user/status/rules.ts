import type { Clock } from "../../../platform/clock/clock.ts";
import { isRefusal } from "../../../platform/errors/refusal.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import { publishUserStatusChanged, type UserPublish } from "../events.ts";
import type { Acting } from "../person/acting.ts";
import { changed, type ChangeRefusal, type Person } from "../person/person.ts";
import type { PersonStore } from "../person/store.ts";

/** Whether people may use Muin. For who holds every scope it needs nobody but the database: they suspend while auth is away too. */
export interface StatusRules {
  /** Bars a person, on behalf of the caller. A second time only the reason changes, and nothing is announced. */
  suspend(userId: string, reason: string, caller: Caller): Promise<Person | ChangeRefusal>;
  /** Admits a person again. */
  reactivate(userId: string, caller: Caller): Promise<Person | ChangeRefusal>;
}

export function createStatusRules(deps: {
  readonly database: Pick<Database, "transaction">;
  readonly people: Pick<PersonStore, "otherAdministrators" | "lock" | "save">;
  readonly acting: Pick<Acting, "by">;
  readonly publish: UserPublish;
  readonly clock: Pick<Clock, "now">;
}): StatusRules {
  const { database, people, acting, publish, clock } = deps;

  const change = async (
    userId: string,
    caller: Caller,
    to: Pick<Person, "status" | "suspendReason">,
  ): Promise<Person | ChangeRefusal> => {
    const principal = { statusPrincipal: caller.principal };
    const decide = await acting.by(caller, userId, (person) => ({ ...person, ...to, ...principal }));
    return database.transaction(async (tx) => {
      const others = await people.otherAdministrators(tx, userId);
      const before = await people.lock(tx, userId);
      const after = changed(userId, before, decide, others, clock.now());
      if (isRefusal(after) || after === before) return after;
      await people.save(tx, after);
      if (after.status !== before?.status) await publishUserStatusChanged(tx, publish, after);
      return after;
    });
  };

  return {
    suspend: (userId, suspendReason, caller) => change(userId, caller, { status: "SUSPENDED", suspendReason }),
    reactivate: (userId, caller) => change(userId, caller, { status: "ACTIVE", suspendReason: "" }),
  };
}
