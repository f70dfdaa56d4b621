/** What the command line's exit code says. Scripts rely on these numbers: they never change their meaning. */
export const exitCodes = {
  done: { code: 0, meaning: "done" },
  failed: { code: 1, meaning: "failed, or what was checked is not as it should be" },
  usage: { code: 2, meaning: "the command or a value given to it is not valid" },
  unreachable: { code: 3, meaning: "no Muin answers, or it is not ready" },
  notFound: { code: 4, meaning: "what was named does not exist" },
  refused: { code: 5, meaning: "the key is missing, not valid, or may not do this" },
  conflict: { code: 6, meaning: "it exists already, was deleted, or a bound would be passed" },
  unknownOutcome: {
    code: 7,
    meaning: "it cannot be told whether the write was applied: repeat it with its request id",
  },
  overloaded: { code: 8, meaning: "Muin has too much to do: try again later" },
  misconfigured: { code: 78, meaning: "Muin cannot start with its settings: the message names the one to change" },
  interrupted: { code: 130, meaning: "interrupted by a signal" },
} as const;

/** A named exit code. */
export type ExitName = keyof typeof exitCodes;

/** The table of exit codes, for `--help`. */
export function exitCodesHelp(): string {
  const rows = Object.values(exitCodes).map(({ code, meaning }) => `  ${String(code).padEnd(5)}${meaning}`);
  return ["Exit codes:", ...rows].join("\n");
}
