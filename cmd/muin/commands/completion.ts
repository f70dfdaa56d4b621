import { bashScript } from "../completion/bash.ts";
import { commandTree } from "../completion/command-tree.ts";
import { fishScript } from "../completion/fish.ts";
import { zshScript } from "../completion/zsh.ts";
import { localCommand, type Registration } from "../terminal/command.ts";
import { namesOf } from "../terminal/values.ts";

const scripts = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

/** `muin completion`. */
export const completion: Registration = (program, cli) =>
  localCommand({
    name: "completion",
    description: "print a script by which a shell completes commands, options and their values",
    arguments: { shell: { help: "whose script", choices: namesOf(scripts) } },
    examples: [
      "source <(muin completion bash)",
      "muin completion zsh > ~/.zfunc/_muin",
      "muin completion fish > ~/.config/fish/completions/muin.fish",
    ],
    run: ({ shell }, { output }) => output.print(scripts[shell](commandTree(program))),
  })(program, cli);
