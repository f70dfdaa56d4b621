import type { ServiceImpl } from "@connectrpc/connect";
import type { UserService } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { callerOf, type Caller } from "../../../platform/identity/caller.ts";
import { personIdOf } from "../../../platform/resource/caller-scopes.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { userErrors } from "../errors.ts";
import { accepted, note, shown, targetOf } from "../person/call.ts";
import type { StatusRules } from "./rules.ts";

/** Bars people, and admits them again. */
export function createStatusHandlers(deps: {
  readonly rules: StatusRules;
  readonly log: Logger;
}): Pick<ServiceImpl<typeof UserService>, "suspendUser" | "reactivateUser"> {
  const { rules, log } = deps;
  return {
    suspendUser: async ({ userId, reason }, context) => {
      const caller = callerOf(context);
      const target = otherThan(caller, userId);
      note(log, context, target);
      return shown(caller, accepted(caller, target, await rules.suspend(target, reason, caller)));
    },
    reactivateUser: async ({ userId }, context) => {
      const caller = callerOf(context);
      const target = otherThan(caller, userId);
      note(log, context, target);
      return shown(caller, accepted(caller, target, await rules.reactivate(target, caller)));
    },
  };
}

/** Whom a request names, which must be somebody else than who calls. */
function otherThan(caller: Caller, userId: string): string {
  const target = targetOf(caller, userId);
  if (personIdOf(caller) === target) throw userErrors.ownStatus();
  return target;
}
