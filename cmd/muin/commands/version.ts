import { version as muinVersion } from "../../../internal/platform/config/version.ts";
import { localCommand } from "../terminal/command.ts";

/** `muin version`. */
export const version = localCommand({
  name: "version",
  description: "print the versions of Muin and of what it runs on",
  options: { json: { help: "print for a program: one JSON document" } },
  examples: ["muin version"],
  run: ({ json }, { output }) => {
    const facts = { version: muinVersion, bun: Bun.version, platform: process.platform, arch: process.arch };
    if (json === true) output.json(facts);
    else output.print(`muin ${facts.version} (bun ${facts.bun}, ${facts.platform} ${facts.arch})`);
  },
});
