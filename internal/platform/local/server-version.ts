/** What a server's program says its version is, such as "8.10.2" or "18.4"; `undefined` when it does not run. */
export function versionOf(program: string): string | undefined {
  try {
    const { stdout } = Bun.spawnSync([program, "--version"], { stdout: "pipe", stderr: "ignore", env: {} });
    return /(?:\bv=|\(PostgreSQL\) )(\d+(?:\.\d+)*)/.exec(stdout.toString())?.[1];
  } catch {
    return undefined; // Not there, or not a program.
  }
}

/** Whether a version of numbers and dots is `min` or later. */
export function isAtLeast(version: string, min: string): boolean {
  const [have, want] = [version.split(".").map(Number), min.split(".").map(Number)];
  for (const [index, part] of want.entries()) {
    const difference = (have[index] ?? 0) - part;
    if (difference !== 0) return difference > 0;
  }
  return true;
}
