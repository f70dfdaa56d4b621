import { Argument, type Command } from "commander";
import { Role } from "../../../internal/gen/muin/identity/v1/user_pb.ts";
import type { Cli } from "../cli.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { named, printUser, roles, userArgument } from "./users-shared.ts";

interface RoleOptions extends RemoteOptions {
  readonly branch?: string;
}

/** Registers `users role`. */
export function registerUsersRole(users: Command, cli: Cli): void {
  const role = users.command("role").description("give and take roles");
  for (const verb of ["assign", "unassign"] as const) {
    const command = remote(
      role
        .command(verb)
        .argument("<user>", userArgument)
        .addArgument(new Argument("<role>", "which one").choices(Object.keys(roles))),
    )
      .description(verb === "assign" ? "give a person a role" : "take a role from a person")
      .option("--branch <branch-id>", "of this branch only (default: everywhere)")
      .action(async (user: string, name: string, options: RoleOptions) => {
        const { users: service, userId, signal } = await named(user, options, cli);
        const request = {
          userId,
          assignment: { role: roles[name] ?? Role.UNSPECIFIED, branchId: options.branch ?? "" },
        };
        const reply =
          verb === "assign"
            ? await service.assignRole(request, { signal })
            : await service.unassignRole(request, { signal });
        printUser(reply.user, options, cli);
      });
    examples(
      command,
      `muin users role ${verb} ada@example.org administrator`,
      `muin users role ${verb} ada@example.org helper --branch gangnam`,
    );
  }
}
