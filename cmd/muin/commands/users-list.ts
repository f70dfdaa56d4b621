import { type Command, Option } from "commander";
import { Role, UserStatus } from "../../../internal/gen/muin/identity/v1/user_pb.ts";
import { UserSchema, UserService } from "../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { examples, remote, type RemoteOptions, wholeNumber } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { membershipText, roles, rolesText, statuses, statusWord } from "./users-shared.ts";

interface ListOptions extends RemoteOptions {
  readonly role?: string;
  readonly branch?: string;
  readonly status?: string;
  readonly plan?: string;
  readonly limit?: number;
}

/** People asked for at once. */
const pageSize = 500;

/** Registers `users list`. */
export function registerUsersList(users: Command, cli: Cli): void {
  const command = remote(users.command("list"))
    .description("list people in the order in which they signed up")
    .addOption(new Option("--role <role>", "only who has this role").choices(Object.keys(roles)))
    .option("--branch <branch-id>", "only who has a role of this branch")
    .addOption(
      new Option("--status <status>", "only people of this status (default: all but deleted ones)").choices(
        Object.keys(statuses),
      ),
    )
    .option("--plan <plan>", "only members of this plan")
    .option("--limit <number>", "at most so many", wholeNumber(1, 1_000_000))
    .action(async (options: ListOptions) => {
      const { client } = await connect(options, cli.env);
      const service = client(UserService);
      const signal = cli.signal();
      const query = {
        role: roles[options.role ?? ""] ?? Role.UNSPECIFIED,
        branchId: options.branch ?? "",
        status: statuses[options.status ?? ""] ?? UserStatus.UNSPECIFIED,
        plan: options.plan ?? "",
      };
      const rows: string[][] = [];
      let left = options.limit ?? Infinity;
      let pageToken = "";
      do {
        const page = await service.listUsers({ ...query, pageSize: Math.min(pageSize, left), pageToken }, { signal });
        for (const user of page.users) {
          if (options.json === true) cli.output.json(plainMessage(UserSchema, user));
          else {
            const { userId, email, displayName, status, roleAssignments } = user;
            rows.push([
              userId,
              email,
              displayName,
              statusWord(status),
              rolesText(roleAssignments),
              membershipText(user),
            ]);
          }
        }
        left -= page.users.length;
        pageToken = page.nextPageToken;
      } while (pageToken !== "" && left > 0);
      if (options.json === true) return;
      if (rows.length > 0) cli.output.table(["USER", "E-MAIL", "NAME", "STATUS", "ROLES", "MEMBERSHIP"], rows);
      if (pageToken !== "") cli.output.note(`there are more than these ${rows.length}`);
      else if (rows.length === 0) cli.output.note("there are no such people");
    });
  examples(command, "muin users list", "muin users list --role helper --branch gangnam --json");
}
