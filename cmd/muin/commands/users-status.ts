import type { Command } from "commander";
import { CredentialService } from "../../../internal/gen/muin/identity/v1/credential_service_pb.ts";
import type { Cli } from "../cli.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { named, printUser, userArgument } from "./users-shared.ts";

/** Registers `users suspend`, `users reactivate` and `users reset-totp`. */
export function registerUsersStatus(users: Command, cli: Cli): void {
  const suspend = remote(users.command("suspend").argument("<user>", userArgument))
    .description("bar a person: their sessions end everywhere within a second")
    .requiredOption("--reason <text>", "why, for whoever reads it later")
    .action(async (user: string, options: RemoteOptions & { readonly reason: string }) => {
      const { users: service, userId, signal } = await named(user, options, cli);
      const { user: after } = await service.suspendUser({ userId, reason: options.reason }, { signal });
      printUser(after, options, cli);
    });
  examples(suspend, 'muin users suspend ada@example.org --reason "lost card"');

  const reactivate = remote(users.command("reactivate").argument("<user>", userArgument))
    .description("admit a suspended person again")
    .action(async (user: string, options: RemoteOptions) => {
      const { users: service, userId, signal } = await named(user, options, cli);
      const { user: after } = await service.reactivateUser({ userId }, { signal });
      printUser(after, options, cli);
    });
  examples(reactivate, "muin users reactivate ada@example.org");

  const reset = remote(users.command("reset-totp").argument("<user>", userArgument))
    .description("remove the second factor of a person who has lost it, and end their sessions")
    .action(async (user: string, options: RemoteOptions) => {
      const { client, userId, signal } = await named(user, options, cli);
      await client(CredentialService).resetTotp({ userId }, { signal });
      if (options.json === true) cli.output.json({ user_id: userId });
      else cli.output.print(`sign-in asks ${userId} for the password alone`);
    });
  examples(reset, "muin users reset-totp ada@example.org");
}
