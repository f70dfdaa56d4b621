import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { type Command, InvalidArgumentError } from "commander";
import type { Cli } from "../cli.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { named, printUser, userArgument } from "./users-shared.ts";

interface SetOptions extends RemoteOptions {
  readonly from?: number;
  readonly until?: number;
}

/** Registers `users membership`. */
export function registerUsersMembership(users: Command, cli: Cli): void {
  const membership = users.command("membership").description("set, pause, resume and end memberships");

  const set = remote(
    membership
      .command("set")
      .argument("<user>", userArgument)
      .argument("<plan>", 'name of the plan, such as "standard"'),
  )
    .description("give a person a membership, in place of the one that they may have")
    .option("--from <time>", "from when it is good, such as 2026-12-01 (default: since ever)", momentMs)
    .option("--until <time>", "the first moment when it is good no more (default: never)", momentMs)
    .action(async (user: string, plan: string, options: SetOptions) => {
      const { users: service, userId, signal } = await named(user, options, cli);
      const reply = await service.setMembership(
        {
          userId,
          membership: {
            plan,
            ...(options.from === undefined ? {} : { fromTime: timestampFromMs(options.from) }),
            ...(options.until === undefined ? {} : { untilTime: timestampFromMs(options.until) }),
          },
        },
        { signal },
      );
      printUser(reply.user, options, cli);
    });
  examples(set, "muin users membership set ada@example.org standard --until 2027-12-01T09:00:00+09:00");

  const descriptions = {
    pause: "let a membership rest: it is good for nothing then",
    resume: "go on with a membership that rests",
    end: "take a membership away at once",
  };
  for (const verb of ["pause", "resume", "end"] as const) {
    const command = remote(membership.command(verb).argument("<user>", userArgument))
      .description(descriptions[verb])
      .action(async (user: string, options: RemoteOptions) => {
        const { users: service, userId, signal } = await named(user, options, cli);
        const { user: after } = await service[`${verb}Membership`]({ userId }, { signal });
        printUser(after, options, cli);
      });
    examples(command, `muin users membership ${verb} ada@example.org`);
  }
}

/** Reads a date (midnight UTC) or a time with its offset from an argument, in milliseconds since the Unix epoch. */
function momentMs(text: string): number {
  const ms = /^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}(:\d{2}(\.\d{1,3})?)?(Z|[+-]\d{2}:\d{2}))?$/.test(text)
    ? Date.parse(text)
    : Number.NaN;
  if (!Number.isNaN(ms)) return ms;
  throw new InvalidArgumentError(
    "Give a date such as 2026-12-01, or a time with its offset such as 2026-12-01T09:00:00+09:00.",
  );
}
