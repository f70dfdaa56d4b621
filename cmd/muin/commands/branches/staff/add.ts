import { StaffRole } from "../../../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService } from "../../../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import { remoteCommand } from "../../../remote/remote-command.ts";
import { namesOf } from "../../../terminal/values.ts";
import { branchArgument } from "../branch-argument.ts";

const staffRoles = { manager: StaffRole.MANAGER, attendant: StaffRole.ATTENDANT } as const;

/** `muin branches staff add`. */
export const add = remoteCommand({
  name: "add",
  description: "let a person work for a branch, or change what they do",
  arguments: { branchId: branchArgument, userId: { help: "the person" } },
  options: {
    role: {
      value: "role",
      help: "managers change the branch, attendants see it and enter at any hour",
      choices: namesOf(staffRoles),
      required: true,
    },
  },
  examples: [
    "muin branches staff add 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33 --role manager",
  ],
  call: ({ branchId, userId, role }, { client }) =>
    client(BranchService).addStaff({ branchId, staffMember: { userId, role: staffRoles[role] } }),
  json: ({ etag }, { branchId, userId, role }) => ({ branch_id: branchId, user_id: userId, role, etag }),
  print: (_reply, output, { branchId, userId, role }) => output.print(`${userId} is ${role} of ${branchId}`),
});
