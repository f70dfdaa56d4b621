import { type Command, Option } from "commander";
import { StaffRole } from "../../../internal/gen/muin/identity/v1/branch_pb.ts";
import { BranchService, StaffEntrySchema } from "../../../internal/gen/muin/identity/v1/branch_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { everyRow } from "../pages.ts";
import { plainMessage } from "../remote/plain-message.ts";

/** Registers `branches staff` and what belongs to it. */
export function registerBranchesStaff(branches: Command, cli: Cli): void {
  const staff = branches.command("staff").description("who works for a branch");

  const list = remote(staff.command("list <branch-id>"))
    .description("list who works for a branch")
    .action(async (branchId: string, options: RemoteOptions) => {
      const service = (await connect(options, cli.env)).client(BranchService);
      const signal = cli.signal();
      const rows: string[][] = [];
      for await (const entry of everyRow(async (page) => {
        const { staff: found, nextPageToken } = await service.listStaff({ branchId, ...page }, { signal });
        return { rows: found, nextPageToken };
      })) {
        const isManager = entry.staffMember?.role === StaffRole.MANAGER;
        if (options.json === true) cli.output.json(plainMessage(StaffEntrySchema, entry));
        else rows.push([entry.staffMember?.userId ?? "", entry.displayName, isManager ? "manager" : "attendant"]);
      }
      if (options.json === true) return;
      if (rows.length > 0) cli.output.table(["PERSON", "NAME", "ROLE"], rows);
      else cli.output.note("nobody works for this branch");
    });
  examples(list, "muin branches staff list 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55");

  const add = remote(staff.command("add <branch-id> <user-id>"))
    .description("let a person work for a branch, or change what they do")
    .addOption(
      new Option("--role <role>", "managers change the branch, attendants see it and enter at any hour")
        .choices(["manager", "attendant"])
        .makeOptionMandatory(),
    )
    .action(async (branchId: string, userId: string, options: RemoteOptions & { readonly role: string }) => {
      const service = (await connect(options, cli.env)).client(BranchService);
      const role = options.role === "manager" ? StaffRole.MANAGER : StaffRole.ATTENDANT;
      const request = { branchId, staffMember: { userId, role } };
      const { etag } = await service.addStaff(request, { signal: cli.signal() });
      if (options.json === true) cli.output.json({ branch_id: branchId, user_id: userId, role: options.role, etag });
      else cli.output.print(`${userId} is ${options.role} of ${branchId}`);
    });
  examples(
    add,
    "muin branches staff add 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33 --role manager",
  );

  const remove = remote(staff.command("remove <branch-id> <user-id>"))
    .description("end a person's work for a branch")
    .action(async (branchId: string, userId: string, options: RemoteOptions) => {
      const service = (await connect(options, cli.env)).client(BranchService);
      const { etag } = await service.removeStaff({ branchId, userId }, { signal: cli.signal() });
      if (options.json === true) cli.output.json({ branch_id: branchId, user_id: userId, etag });
      else cli.output.print(`${userId} does not work for ${branchId} any more`);
    });
  examples(
    remove,
    "muin branches staff remove 0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55 0199c5f2-7a11-7bb2-9c01-5e8d2f7a6b33",
  );
}
