import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  MembershipSchema,
  Role,
  RoleAssignmentSchema,
  UserStatus,
  type Membership,
  type RoleAssignment,
} from "../../../gen/muin/identity/v1/user_pb.ts";
import { UserSchema, type User } from "../../../gen/muin/identity/v1/user_service_pb.ts";
import { etagOf } from "../../../platform/resource/etag.ts";
import { profileOf, type AssignedRole, type MembershipTerms, type Person } from "./person.ts";

/** The etag of what a caller saw of a person. */
export function etagOfPerson({ version, statusVersion }: Person): string {
  return etagOf(version, statusVersion);
}

/** A person as callers see them; the reason of a suspension only where it is asked for. */
export function toUser(person: Person, show: { readonly suspendReason: boolean }): User {
  return create(UserSchema, {
    userId: person.userId,
    email: person.email,
    ...profileOf(person),
    status: UserStatus[person.status],
    suspendReason: show.suspendReason ? person.suspendReason : "",
    roleAssignments: person.roles.map(toAssignment),
    ...(person.membership === undefined ? {} : { membership: toMembership(person.membership) }),
    etag: etagOfPerson(person),
    createTime: timestampFromMs(person.createTimeMs),
    updateTime: timestampFromMs(person.updateTimeMs),
  });
}

/** A role as callers and consumers see it. */
export function toAssignment({ role, branchId }: AssignedRole): RoleAssignment {
  return create(RoleAssignmentSchema, { role: Role[role], branchId });
}

/** A membership as callers and consumers see it. */
export function toMembership({ plan, fromTimeMs, untilTimeMs, paused }: MembershipTerms): Membership {
  return create(MembershipSchema, {
    plan,
    paused,
    ...(fromTimeMs === undefined ? {} : { fromTime: timestampFromMs(fromTimeMs) }),
    ...(untilTimeMs === undefined ? {} : { untilTime: timestampFromMs(untilTimeMs) }),
  });
}
