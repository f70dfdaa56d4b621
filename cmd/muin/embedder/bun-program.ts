/** The Bun that runs this process: a compiled binary is one too, when `bunEnvironment` tells it so. */
export function bunProgram(): string {
  return process.execPath;
}

/** What a child that is Bun gets of an environment: nothing of Muin's, secrets among them. */
export function bunEnvironment(env: Readonly<Record<string, string | undefined>>): Record<string, string> {
  const kept = Object.entries(env).flatMap(([name, value]) =>
    value === undefined || name.startsWith("MUIN_") ? [] : [[name, value] as const],
  );
  return { ...Object.fromEntries(kept), BUN_BE_BUN: "1" };
}
