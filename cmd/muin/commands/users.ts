import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { registerUsersData } from "./users-data.ts";
import { registerUsersList } from "./users-list.ts";
import { registerUsersMembership } from "./users-membership.ts";
import { registerUsersProfile } from "./users-profile.ts";
import { registerUsersRole } from "./users-role.ts";
import { registerUsersScopes } from "./users-scopes.ts";
import { registerUsersStatus } from "./users-status.ts";

/** Registers `users` and what belongs to it. */
export function registerUsers(program: Command, cli: Cli): void {
  const users = program
    .command("users")
    .description("list, read, change, suspend and delete people; give them roles, scopes and memberships");
  registerUsersList(users, cli);
  registerUsersProfile(users, cli);
  registerUsersRole(users, cli);
  registerUsersScopes(users, cli);
  registerUsersMembership(users, cli);
  registerUsersStatus(users, cli);
  registerUsersData(users, cli);
}
