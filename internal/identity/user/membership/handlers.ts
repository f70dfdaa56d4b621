import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { MembershipSchema } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { User, UserService } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import type { Acting } from "../person/acting.ts";
import { accepted, note, shown, targetOf } from "../person/call.ts";
import type { Change } from "../person/person.ts";
import type { PersonRules } from "../person/rules.ts";
import { membershipEnded, membershipPaused, membershipResumed, membershipSet } from "./rules.ts";

/** Gives, pauses and ends memberships. */
export function createMembershipHandlers(deps: {
  readonly rules: Pick<PersonRules, "update">;
  readonly acting: Pick<Acting, "by">;
  readonly log: Logger;
}): Pick<ServiceImpl<typeof UserService>, "setMembership" | "pauseMembership" | "resumeMembership" | "endMembership"> {
  const { rules, acting, log } = deps;

  const change = async (context: HandlerContext, userId: string, decide: Change): Promise<{ user: User }> => {
    const caller = callerOf(context);
    const target = targetOf(caller, userId);
    note(log, context, target);
    return shown(caller, accepted(caller, target, await rules.update(target, await acting.by(caller, target, decide))));
  };

  return {
    setMembership: ({ userId, membership, etag }, context) =>
      change(context, userId, membershipSet(membership ?? create(MembershipSchema), etag)),
    pauseMembership: ({ userId }, context) => change(context, userId, membershipPaused),
    resumeMembership: ({ userId }, context) => change(context, userId, membershipResumed),
    endMembership: ({ userId }, context) => change(context, userId, membershipEnded),
  };
}
