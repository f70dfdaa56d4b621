import { everyCommand, type CommandNode, type Offer } from "./command-tree.ts";

/** A script for fish 3 and later: what the one for bash does, with what each command and option means. */
export function fishScript(program: CommandNode): string {
  const name = program.name;
  const commands = everyCommand(program);
  const options = commands.flatMap((command) => command.options);
  const valued = new Set(options.filter(({ takesValue }) => takesValue).map(({ flag }) => flag));
  const lines = commands.flatMap((command) => [
    ...command.commands.map((child) =>
      rule(name, `${command.path} 1`, `-a ${quote(child.name)} -d ${quote(child.help)}`),
    ),
    ...command.options.map((option) => {
      const value = option.takesValue ? ` ${offerOf(option) || "-x"}` : "";
      return rule(name, `${command.path} *`, `-l ${option.flag.slice(2)}${value} -d ${quote(option.help)}`);
    }),
    ...command.arguments.flatMap((value, index) =>
      offerOf(value) === "" ? [] : [rule(name, `${command.path} ${index + 1}`, offerOf(value))],
    ),
  ]);
  return `# Completion for fish: save it as ~/.config/fish/completions/${name}.fish
set -g __${name}_commands ${commands.map(({ path }) => quote(path)).join(" ")}
set -g __${name}_valued ${[...valued].map(quote).join(" ")}

# Prints the command that the words before the cursor lead to, and which of its arguments comes next.
function __${name}_here
    set -l here ${name}
    set -l place 1
    set -l pending
    for word in (commandline -opc)[2..-1]
        if test -n "$pending"
            set pending
        else if string match -q -- '-*' $word
            contains -- $word $__${name}_valued; and set pending $word
        else if contains -- "$here $word" $__${name}_commands
            set here "$here $word"
        else
            set place (math $place + 1)
        end
    end
    echo $here $place
end

function __${name}_at
    string match -q -- $argv[1] (__${name}_here)
end

complete -c ${name} -f
${lines.join("\n")}`;
}

function rule(name: string, where: string, what: string): string {
  return `complete -c ${name} -n ${quote(`__${name}_at ${quote(where)}`)} ${what}`;
}

function offerOf({ choices, isPath }: Offer): string {
  if (choices.length > 0) return `-x -a ${quote(choices.join(" "))}`;
  return isPath ? "-r -F" : "";
}

function quote(text: string): string {
  return `'${text.replaceAll("\\", String.raw`\\`).replaceAll("'", String.raw`\'`)}'`;
}
