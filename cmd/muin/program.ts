import { Command, CommanderError } from "commander";
import type { Cli } from "./cli.ts";
import { registerConfig } from "./commands/config.ts";
import { registerCounts } from "./commands/counts.ts";
import { registerDeadLetters } from "./commands/dead-letters.ts";
import { registerEvents } from "./commands/events.ts";
import { registerGraph } from "./commands/graph.ts";
import { registerKeys } from "./commands/keys.ts";
import { registerStatus } from "./commands/status.ts";
import { registerVersion } from "./commands/version.ts";
import { exitCodes, exitCodesHelp } from "./exit-codes.ts";
import { toFailure } from "./failure.ts";

/** Runs one command and returns the exit code. `args` are what follows the program's name. */
export async function runProgram(cli: Cli, args: readonly string[]): Promise<number> {
  const program = createProgram();
  try {
    // `up` brings every service with it, which takes longer to load than most commands to run.
    const first = args.find((arg) => !arg.startsWith("-"));
    if (first === undefined || first === "up" || first === "help") {
      const { registerUp } = await import("./commands/up.ts");
      registerUp(program, cli);
    }
    registerOthers(program, cli);
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

function createProgram(): Command {
  return new Command("muin")
    .description("Muin runs unmanned branches: this command starts it, looks at it and counts with it.")
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(text.replace(/^error: /, "muin: ")) })
    .showHelpAfterError("(add --help to see what it accepts)")
    .addHelpText("after", `\n${exitCodesHelp()}\n\nExample:\n  $ muin status`);
}

function registerOthers(program: Command, cli: Cli): void {
  registerStatus(program, cli);
  registerCounts(program, cli);
  registerKeys(program, cli);
  registerEvents(program, cli);
  registerDeadLetters(program, cli);
  registerGraph(program, cli);
  registerConfig(program, cli);
  registerVersion(program, cli);
}
