import type { Command } from "commander";
import type { Cli } from "../cli.ts";
import { Failure } from "../terminal/failure.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { named, printUser, userArgument } from "./users-shared.ts";

interface UpdateOptions extends RemoteOptions {
  readonly name?: string;
  readonly locale?: string;
  readonly timeZone?: string;
  readonly phone?: string;
  readonly picture?: string;
  readonly etag?: string;
}

/** Registers `users get` and `users update`. */
export function registerUsersProfile(users: Command, cli: Cli): void {
  const get = remote(users.command("get").argument("<user>", userArgument))
    .description("show a person")
    .action(async (user: string, options: RemoteOptions) => {
      const { users: service, userId, signal } = await named(user, options, cli);
      const reply = await service.getUser({ userId }, { signal });
      printUser(reply.user, options, cli);
    });
  examples(get, "muin users get ada@example.org");

  const update = remote(users.command("update").argument("<user>", userArgument))
    .description('change what is said of a person; "" removes it')
    .option("--name <text>", "name for people")
    .option("--locale <tag>", 'language and region, such as "ko-KR"')
    .option("--time-zone <zone>", 'time zone, such as "Asia/Seoul"')
    .option("--phone <number>", 'telephone number, such as "+821012345678"')
    .option("--picture <url>", "https address of a picture")
    .option("--etag <etag>", "only if the person has not changed since this etag")
    .action(async (user: string, options: UpdateOptions) => {
      const given = [
        ["display_name", options.name],
        ["locale", options.locale],
        ["time_zone", options.timeZone],
        ["phone_number", options.phone],
        ["picture_uri", options.picture],
      ] as const;
      const paths = given.filter(([, value]) => value !== undefined).map(([path]) => path);
      if (paths.length === 0)
        throw new Failure("usage", "say what to change: --name, --locale, --time-zone, --phone or --picture");
      const { users: service, userId, signal } = await named(user, options, cli);
      const reply = await service.updateUser(
        {
          user: {
            userId,
            displayName: options.name ?? "",
            locale: options.locale ?? "",
            timeZone: options.timeZone ?? "",
            phoneNumber: options.phone ?? "",
            pictureUri: options.picture ?? "",
            etag: options.etag ?? "",
          },
          updateMask: { paths },
        },
        { signal },
      );
      printUser(reply.user, options, cli);
    });
  examples(update, 'muin users update ada@example.org --name "Ada Lovelace" --time-zone Europe/London');
}
