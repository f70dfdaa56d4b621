import type { Command } from "commander";
import {
  ErasureSchema,
  ErasureState,
  ExportUserDataResponseSchema,
  UserService,
  type Erasure,
} from "../../../internal/gen/muin/identity/v1/user_service_pb.ts";
import type { Cli } from "../cli.ts";
import { connect } from "../remote/connection.ts";
import { Failure } from "../terminal/failure.ts";
import { examples, remote, type RemoteOptions } from "../terminal/options.ts";
import { plainMessage } from "../remote/plain-message.ts";
import { named, userArgument } from "./users-shared.ts";

/** Registers `users export`, `users delete` and `users erasure`. */
export function registerUsersData(users: Command, cli: Cli): void {
  const exported = remote(users.command("export").argument("<user>", userArgument))
    .description("print all that Muin holds of a person, as JSON")
    .action(async (user: string, options: RemoteOptions) => {
      const { users: service, userId, signal } = await named(user, options, cli);
      const copy = plainMessage(ExportUserDataResponseSchema, await service.exportUserData({ userId }, { signal }));
      if (options.json === true) cli.output.json(copy);
      else cli.output.print(JSON.stringify(copy, undefined, 2));
    });
  examples(exported, "muin users export ada@example.org > ada.json");

  const remove = remote(users.command("delete").argument("<user>", userArgument))
    .description("delete a person for good, with all that is held of them")
    .option("--yes", "confirm it: there is no way back")
    .action(async (user: string, options: RemoteOptions & { readonly yes?: boolean }) => {
      if (options.yes !== true) throw new Failure("usage", `there is no way back; to delete ${user}, add --yes`);
      const { users: service, userId, signal } = await named(user, options, cli);
      const { erasure } = await service.deleteUser({ userId }, { signal });
      printErasure(erasure, options, cli);
    });
  examples(remove, "muin users delete ada@example.org --yes");

  const erasure = remote(users.command("erasure <erasure-id>"))
    .description("show how far a deletion has come")
    .action(async (erasureId: string, options: RemoteOptions) => {
      const { client } = await connect(options, cli.env);
      const reply = await client(UserService).getErasure({ erasureId }, { signal: cli.signal() });
      printErasure(reply.erasure, options, cli);
    });
  examples(erasure, "muin users erasure 5f1c8a3e90b24d7c8e6f0a1b2c3d4e5f");
}

const stateTexts: Readonly<Record<number, string>> = {
  [ErasureState.ERASING]: "services are erasing what they hold",
  [ErasureState.DESTROYING_KEY]: "every service has erased what it held; the key is being destroyed",
  [ErasureState.DONE]: "done: nothing is left that could be read",
};

function printErasure(erasure: Erasure | undefined, options: RemoteOptions, cli: Cli): void {
  if (erasure === undefined) return;
  if (options.json === true) {
    cli.output.json(plainMessage(ErasureSchema, erasure));
    return;
  }
  cli.output.print(`erasure ${erasure.erasureId}: ${stateTexts[erasure.state] ?? `state ${erasure.state}`}`);
  for (const { service, confirmTime } of erasure.confirmations) {
    cli.output.print(`  ${service.padEnd(16)}${confirmTime === undefined ? "not yet" : "has erased"}`);
  }
  if (erasure.state !== ErasureState.DONE) {
    cli.output.note(`to see how it goes on: muin users erasure ${erasure.erasureId}`);
  }
}
