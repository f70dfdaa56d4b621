import { type Command, InvalidArgumentError, Option } from "commander";

/** Options of every command that talks to a running Muin. */
export interface RemoteOptions {
  readonly url?: string;
  readonly dataDir?: string;
  readonly json?: boolean;
}

/** Adds the options of a command that talks to a running Muin. */
export function remote(command: Command): Command {
  return command
    .option("--url <url>", "Muin's HTTP address (MUIN_URL; default: the Muin on the local data folder)")
    .option("--data-dir <folder>", "data folder of a local Muin (MUIN_DATA_DIR)")
    .addOption(new Option("--json", "print for a program: JSON, one document or one line for each entry"));
}

/** Adds examples to a command's help. */
export function examples(command: Command, ...lines: readonly string[]): Command {
  const title = lines.length === 1 ? "Example:" : "Examples:";
  return command.addHelpText("after", ["", title, ...lines.map((line) => `  $ ${line}`)].join("\n"));
}

/** Reads a whole number from an argument. */
export function wholeNumber(min: number, max: number): (text: string) => number {
  return (text) => {
    const value = /^[+-]?\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    if (value >= min && value <= max) return value;
    throw new InvalidArgumentError(`Give a whole number from ${min} to ${max}.`);
  };
}

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Reads a length of time such as 500ms, 90s, 15m, 12h or 30d, in milliseconds. */
export function durationMs(text: string): number {
  const match = /^(\d{1,9})(ms|[smhd])$/.exec(text);
  const unit = unitMs[match?.[2] ?? ""];
  if (match === null || unit === undefined) {
    throw new InvalidArgumentError("Give a length of time such as 500ms, 90s, 15m, 12h or 30d.");
  }
  return Number(match[1]) * unit;
}

/** Reads a count_id. */
export function countId(text: string): string {
  if (/^[a-z0-9][a-z0-9._-]{0,127}$/.test(text)) return text;
  throw new InvalidArgumentError(
    "A count_id has 1 to 128 characters of a-z 0-9 . _ - and begins with a letter or digit.",
  );
}

/** Reads one count_id after another. */
export function countIds(text: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), countId(text)];
}

/** Collects an option that may be given several times. */
export function several(value: string, before: readonly string[] | undefined): readonly string[] {
  return [...(before ?? []), value];
}

/** The bounds of values and deltas. */
export const valueMax = Number.MAX_SAFE_INTEGER;
