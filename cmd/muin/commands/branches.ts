import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { registerBranchesEdit } from "./branches-edit.ts";
import { registerBranchesHours } from "./branches-hours.ts";
import { registerBranchesLook } from "./branches-look.ts";
import { registerBranchesOwners } from "./branches-owners.ts";
import { registerBranchesStaff } from "./branches-staff.ts";

/** Registers `branches` and what belongs to it. */
export function registerBranches(program: Command, cli: Cli): void {
  const branches = program.command("branches").description("branches: their owners, hours, entry rules and staff");
  registerBranchesEdit(branches, cli);
  registerBranchesLook(branches, cli);
  registerBranchesHours(branches, cli);
  registerBranchesStaff(branches, cli);
  registerBranchesOwners(branches, cli);
}
