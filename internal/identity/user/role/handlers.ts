import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { RoleAssignmentSchema } from "../../../gen/muin/identity/v1/user_pb.ts";
import type { User, UserService } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { callerOf } from "../../../platform/identity/caller.ts";
import { scopesOfCaller } from "../../../platform/resource/caller-scopes.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { userErrors } from "../errors.ts";
import type { Acting } from "../person/acting.ts";
import { accepted, note, shown, targetOf } from "../person/call.ts";
import { scopesOfRoles, type AssignedRole, type Change } from "../person/person.ts";
import type { PersonRules } from "../person/rules.ts";
import { assignedRoleOf, roleGiven, roleTaken } from "./rules.ts";

/** Gives and takes roles. */
export function createRoleHandlers(deps: {
  readonly rules: Pick<PersonRules, "update">;
  readonly acting: Pick<Acting, "by">;
  readonly log: Logger;
}): Pick<ServiceImpl<typeof UserService>, "assignRole" | "unassignRole"> {
  const { rules, acting, log } = deps;

  const change = async (
    context: HandlerContext,
    userId: string,
    { role, branchId }: AssignedRole,
    decide: Change,
  ): Promise<{ user: User }> => {
    const caller = callerOf(context);
    const isAdministrator = role === "ADMINISTRATOR" && branchId === "";
    const missing = scopesOfRoles([{ role, branchId }]).filter((scope) => !scopesOfCaller(caller).has(scope));
    if (missing.length > 0) throw userErrors.roleScopesMissing({ scopes: missing.join(", ") });
    const target = targetOf(caller, userId);
    note(log, context, target);
    const permitted = await acting.by(caller, target, decide);
    const answer = await rules.update(target, permitted, { keepsAdministrator: isAdministrator });
    return shown(caller, accepted(caller, target, answer));
  };

  return {
    assignRole: ({ userId, assignment }, context) => {
      const assigned = assignedRoleOf(assignment ?? create(RoleAssignmentSchema));
      return change(context, userId, assigned, roleGiven(assigned));
    },
    unassignRole: ({ userId, assignment }, context) => {
      const assigned = assignedRoleOf(assignment ?? create(RoleAssignmentSchema));
      return change(context, userId, assigned, roleTaken(assigned));
    },
  };
}
