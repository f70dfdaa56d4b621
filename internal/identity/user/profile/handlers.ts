import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import { UserSchema, type UserService } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Acting } from "../person/acting.ts";
import { accepted, manageScope, note, permitted, shown } from "../person/call.ts";
import type { PersonRules } from "../person/rules.ts";
import { profileUpdated } from "./rules.ts";

/** Changes what people say of themselves. */
export function createProfileHandlers(deps: {
  readonly rules: Pick<PersonRules, "update">;
  readonly acting: Pick<Acting, "by">;
  readonly log: Logger;
}): Pick<ServiceImpl<typeof UserService>, "updateUser"> {
  const { rules, acting, log } = deps;
  return {
    updateUser: async (request, context) => {
      const caller = callerOf(context);
      const user = request.user ?? create(UserSchema);
      const target = permitted(caller, user.userId, manageScope);
      const change = profileUpdated(user, request.updateMask?.paths);
      note(log, context, target);
      return shown(
        caller,
        accepted(caller, target, await rules.update(target, await acting.by(caller, target, change))),
      );
    },
  };
}
