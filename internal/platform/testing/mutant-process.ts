const preload = Bun.fileURLToPath(new URL("mutant-preload.ts", import.meta.url));

/** A rule broken on purpose: `from` stands once in the file and becomes `to`. */
export interface Mutant {
  /** Absolute path. */
  readonly file: string;
  readonly from: string;
  readonly to: string;
}

/** The environment of a process that shall run with a rule broken, and all processes that it starts. */
export function environmentOf({ file, from, to }: Mutant): Record<string, string | undefined> {
  return { ...process.env, BUN_OPTIONS: `--preload=${preload}`, MUIN_TEST_MUTANT: JSON.stringify({ file, from, to }) };
}
