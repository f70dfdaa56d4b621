import type { Command } from "commander";
import { version } from "../../../internal/platform/config/version.ts";
import type { Cli } from "../cli.ts";
import { examples } from "../terminal/options.ts";

/** Registers `version`. */
export function registerVersion(program: Command, cli: Cli): void {
  const command = program
    .command("version")
    .description("print the versions of Muin and of what it runs on")
    .option("--json", "print for a program: one JSON document")
    .action((options: { readonly json?: boolean }) => {
      const facts = { version, bun: Bun.version, platform: process.platform, arch: process.arch };
      if (options.json === true) cli.output.json(facts);
      else cli.output.print(`muin ${facts.version} (bun ${facts.bun}, ${facts.platform} ${facts.arch})`);
    });
  examples(command, "muin version");
}
