import { InvalidArgumentError } from "commander";

/** Reads a count_id. */
export function countIdOf(text: string): string {
  if (/^[a-z0-9][a-z0-9._-]{0,127}$/.test(text)) return text;
  throw new InvalidArgumentError(
    "A count_id has 1 to 128 characters of a-z 0-9 . _ - and begins with a letter or digit.",
  );
}

/** The Count that a command is about. */
export const countArgument = { help: "the Count", parse: countIdOf } as const;

/** The bound of values and deltas, to both sides. */
export const valueMax = Number.MAX_SAFE_INTEGER;
