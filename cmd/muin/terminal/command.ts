import { Argument, Command, Option } from "commander";
import type { Cli } from "../cli.ts";

/** How the text of a value on the command line is read. */
interface ValueSpec {
  /** What it means, for the help. */
  readonly help: string;
  /** Reads it; throws commander's `InvalidArgumentError`, which says what is accepted. Default: the text as it is. */
  readonly parse?: (text: string) => unknown;
  /** Texts that are accepted; no other is. */
  readonly choices?: readonly string[];
  /** May be given several times. */
  readonly many?: true;
  readonly default?: unknown;
}

/** An argument; its name is its key in kebab case. One with a default may be left out as well. */
interface ArgumentSpec extends ValueSpec {
  readonly optional?: true;
}

/** An option; its flag is its key in kebab case. */
export interface OptionSpec extends ValueSpec {
  /** What stands for the value in the help. Without it the option is a flag; one that is on by default becomes `--no-<flag>`. */
  readonly value?: string;
  readonly required?: true;
  /** What the help calls the default. */
  readonly defaultText?: string;
}

export type Arguments = Readonly<Record<string, ArgumentSpec>>;
export type Options = Readonly<Record<string, OptionSpec>>;

type Single<S> = S extends { readonly parse: (text: string) => infer T }
  ? T
  : S extends { readonly choices: readonly (infer C)[] }
    ? C
    : string;
type Plural<S> = S extends { readonly many: true } ? readonly Single<S>[] : Single<S>;
type ArgumentValue<S> = S extends { readonly optional: true } ? Plural<S> | undefined : Plural<S>;
type OptionValue<S> = S extends { readonly value: string } ? Plural<S> : boolean;
type Settled<S, T> = S extends { readonly required: true } | { readonly default: unknown } ? T : T | undefined;

/** What was given on the command line, by the keys of the arguments and options. */
export type Given<A, O> = { readonly [K in keyof A]: ArgumentValue<A[K]> } & {
  readonly [K in keyof O]: Settled<O[K], OptionValue<O[K]>>;
};

/** Adds a command to its parent. */
export type Registration = (parent: Command, cli: Cli) => void;

/** What the help says of a command, and what it takes. */
export interface CommandSpec<A, O> {
  readonly name: string;
  readonly description: string;
  readonly arguments?: A;
  readonly options?: O;
  /** Follows the list of options in the help. */
  readonly details?: string;
  /** Command lines, each as it would be typed. */
  readonly examples: readonly string[];
  /** Commands below this one. */
  readonly commands?: readonly Registration[];
}

/** A command that does something on this machine; one that talks to Muin is a `remoteCommand`. */
export function localCommand<const A extends Arguments = {}, const O extends Options = {}>(
  spec: CommandSpec<A, O> & { run(given: Given<A, O>, cli: Cli): Promise<void> | void },
): Registration {
  return (parent, cli) => {
    const command = describe(parent.command(spec.name), spec);
    for (const [key, argument] of Object.entries<ArgumentSpec>(spec.arguments ?? {})) {
      command.addArgument(argumentOf(key, argument));
    }
    for (const [key, option] of Object.entries<OptionSpec>(spec.options ?? {})) {
      command.addOption(optionOf(key, option));
    }
    const keys = Object.keys(spec.arguments ?? {});
    command.action(() => {
      const values = command.processedArgs.map((value: unknown, index) => [keys[index], value] as const);
      return spec.run({ ...Object.fromEntries(values), ...command.opts() } as Given<A, O>, cli);
    });
    for (const register of spec.commands ?? []) register(command, cli);
  };
}

/** A command that only holds others. */
export function noun(name: string, description: string, commands: readonly Registration[]): Registration {
  return (parent, cli) => {
    const command = parent.command(name).description(description);
    for (const register of commands) register(command, cli);
  };
}

function describe(command: Command, { description, details, examples }: CommandSpec<unknown, unknown>): Command {
  command.description(description);
  if (details !== undefined) command.addHelpText("after", `\n${details}`);
  const title = examples.length === 1 ? "Example:" : "Examples:";
  return command.addHelpText("after", ["", title, ...examples.map((line) => `  $ ${line}`)].join("\n"));
}

function argumentOf(key: string, spec: ArgumentSpec): Argument {
  const name = kebabOf(key) + (spec.many === true ? "..." : "");
  const isOptional = spec.optional === true || spec.default !== undefined;
  return withValue(new Argument(isOptional ? `[${name}]` : `<${name}>`, spec.help), spec);
}

function optionOf(key: string, spec: OptionSpec): Option {
  const flag = `--${spec.default === true ? "no-" : ""}${kebabOf(key)}`;
  if (spec.value === undefined) return new Option(flag, spec.help);
  const option = withValue(new Option(`${flag} <${spec.value}>`, spec.help), spec);
  return option.makeOptionMandatory(spec.required === true);
}

function withValue<T extends Argument | Option>(value: T, spec: OptionSpec): T {
  const { parse = (text: string) => text, many } = spec;
  if (spec.choices !== undefined) value.choices(spec.choices);
  else {
    value.argParser<unknown>((text, before) =>
      many === true ? [...((before as readonly unknown[] | undefined) ?? []), parse(text)] : parse(text),
    );
  }
  if (spec.default !== undefined) value.default(spec.default, spec.defaultText);
  return value;
}

function kebabOf(key: string): string {
  return key.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}
