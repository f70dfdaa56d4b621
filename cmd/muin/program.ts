import { Command, CommanderError } from "commander";
import type { Cli } from "./cli.ts";
import { audit } from "./commands/audit.ts";
import { branches } from "./commands/branches.ts";
import { call } from "./commands/call.ts";
import { completion } from "./commands/completion.ts";
import { config } from "./commands/config.ts";
import { counts } from "./commands/counts.ts";
import { deadLetters } from "./commands/dead-letters.ts";
import { devices } from "./commands/devices.ts";
import { door } from "./commands/door.ts";
import { events } from "./commands/events.ts";
import { faces } from "./commands/faces.ts";
import { graph } from "./commands/graph.ts";
import { keys } from "./commands/keys.ts";
import { passes } from "./commands/passes.ts";
import { services } from "./commands/services.ts";
import { outbox } from "./commands/outbox.ts";
import { status } from "./commands/status.ts";
import { users } from "./commands/users.ts";
import { version } from "./commands/version.ts";
import { exitCodes, exitCodesHelp } from "./terminal/exit-codes.ts";
import { toFailure } from "./terminal/failure.ts";

/** Runs one command and returns the exit code. `args` are what follows the program's name. */
export async function runProgram(cli: Cli, args: readonly string[]): Promise<number> {
  // What the platform puts for bytes that are no UTF-8: two names would be one.
  const damaged = args.find((arg) => arg.includes("\uFFFD"));
  if (damaged !== undefined) {
    cli.output.note(`muin: the argument ${JSON.stringify(damaged)} is not UTF-8`);
    return exitCodes.usage.code;
  }
  try {
    const first = args.find((arg) => !arg.startsWith("-"));
    // `up` brings every service with it, which takes longer to load than most commands to run.
    const up = first === undefined || ["up", "help", "completion"].includes(first);
    const program = await createProgram(cli, { up });
    await program.parseAsync([...args], { from: "user" });
    return exitCodes.done.code;
  } catch (error) {
    // Commander has said on standard error what is wrong, or printed the help that was asked for.
    if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.done.code : exitCodes.usage.code;
    const failure = toFailure(error);
    cli.output.note(`muin: ${failure.message}`);
    return exitCodes[failure.exit].code;
  }
}

/** All commands; `up` only when it is wanted. */
export async function createProgram(cli: Cli, options: { readonly up: boolean }): Promise<Command> {
  const program = new Command("muin")
    .description("Muin runs unmanned branches: this command starts it, looks at it and counts with it.")
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "muin: ")) })
    .showHelpAfterError("(add --help to see what it accepts)")
    .addHelpText("after", `\n${exitCodesHelp()}\n\nExample:\n  $ muin status`);
  const commands = [
    ...(options.up ? [(await import("./commands/up.ts")).up] : []),
    status,
    counts,
    branches,
    users,
    keys,
    services,
    audit,
    devices,
    faces,
    door,
    passes,
    events,
    deadLetters,
    outbox,
    call,
    graph,
    config,
    completion,
    version,
  ];
  for (const register of commands) register(program, cli);
  return program;
}
