import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import type { UserService } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import type { Clock } from "../../../platform/clock/clock.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import type { Database } from "../../../platform/postgres/database.ts";
import type { PersonalDataHolders } from "../../../platform/service/define-service.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { refuse } from "../errors.ts";
import type { Acting } from "../person/acting.ts";
import { accepted, manageScope, note, permitted } from "../person/call.ts";
import { toUser } from "../person/message.ts";
import type { PersonStore } from "../person/store.ts";
import { toPreferences } from "../preference/handlers.ts";
import type { PreferenceRules } from "../preference/rules.ts";
import { exportOfOthers } from "./others.ts";

/** A copy of a person's data tells what they did. */
const auditScope = "audit.read";

/** Gives people a copy of all that Muin holds of them. */
export function createPersonalDataHandlers(deps: {
  readonly database: Pick<Database, "sql">;
  readonly people: Pick<PersonStore, "get">;
  readonly acting: Pick<Acting, "judge">;
  readonly preferences: Pick<PreferenceRules, "get">;
  /** The other services that hold data of people. */
  readonly holders: PersonalDataHolders;
  readonly clock: Pick<Clock, "now">;
  readonly log: Logger;
}): Pick<ServiceImpl<typeof UserService>, "exportUserData"> {
  const { database, people, acting, preferences, holders, clock, log } = deps;
  return {
    exportUserData: async ({ userId }, context) => {
      const caller = callerOf(context);
      const target = permitted(caller, userId, manageScope, auditScope);
      note(log, context, target);
      const person = accepted(
        caller,
        target,
        (await people.get(database.sql, target)) ?? refuse("userNotFound", { user_id: target }),
      );
      const refusal = await acting.judge(caller, target);
      accepted(caller, target, refusal(person));
      const own = accepted(caller, target, await preferences.get(target));
      return {
        exportTime: timestampFromMs(clock.now()),
        user: toUser(person, { suspendReason: true }),
        preferences: toPreferences(own),
        dataByService: await exportOfOthers(holders, target, context.signal),
      };
    },
  };
}
