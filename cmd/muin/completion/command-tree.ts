import type { Argument, Command, Option } from "commander";

/** What a shell can offer for a value. */
export interface Offer {
  /** Accepted texts; empty where any text will do. */
  readonly choices: readonly string[];
  /** Whether it names a file or a folder. */
  readonly isPath: boolean;
}

/** An option as a shell sees it. */
export interface OptionNode extends Offer {
  /** Such as "--json". */
  readonly flag: string;
  readonly help: string;
  readonly takesValue: boolean;
}

/** A command as a shell sees it. */
export interface CommandNode {
  /** The words that lead to it, the program's name first. */
  readonly path: string;
  readonly name: string;
  readonly help: string;
  readonly commands: readonly CommandNode[];
  readonly options: readonly OptionNode[];
  /** In their order. */
  readonly arguments: readonly Offer[];
}

/** Placeholders of values that name something on disk. */
const pathNames: ReadonlySet<string> = new Set(["file", "folder"]);

/** The commands below and including one. */
export function commandTree(command: Command, path = command.name()): CommandNode {
  const help = command.createHelp();
  return {
    path,
    name: command.name(),
    help: command.description(),
    commands: help.visibleCommands(command).map((child) => commandTree(child, `${path} ${child.name()}`)),
    options: help.visibleOptions(command).map(optionOf),
    arguments: command.registeredArguments.map((argument) => offerOf(argument, argument.name())),
  };
}

/** The command and all below it. */
export function everyCommand(command: CommandNode): readonly CommandNode[] {
  return [command, ...command.commands.flatMap(everyCommand)];
}

/** What may stand at each place of a value: behind "muin counts list --state", or as "muin completion 1", the first argument. */
export function offersIn(program: CommandNode): readonly (readonly [place: string, offer: Offer])[] {
  return everyCommand(program).flatMap((command) => {
    const named = command.options.map((option): [string, Offer] => [option.flag, option]);
    const placed = command.arguments.map((argument, index): [string, Offer] => [String(index + 1), argument]);
    return named.concat(placed).map(([place, offer]) => [`${command.path} ${place}`, offer] as const);
  });
}

function optionOf(option: Option): OptionNode {
  const placeholder = /<(.*)>$/.exec(option.flags)?.[1] ?? "";
  const takesValue = option.required || option.optional;
  return { flag: option.long ?? option.flags, help: option.description, takesValue, ...offerOf(option, placeholder) };
}

function offerOf({ argChoices }: Argument | Option, placeholder: string): Offer {
  return { choices: argChoices ?? [], isPath: pathNames.has(placeholder) };
}
