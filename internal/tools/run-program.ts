import { homedir } from "node:os";
import { join, resolve } from "node:path";

const root = resolve(import.meta.dir, "../..");

/** How a program is run. */
export interface RunOptions {
  /** Added to the environment. */
  readonly env?: Readonly<Record<string, string>>;
  /** Default: the root of the checkout. */
  readonly cwd?: string;
  /** Whether a failure is no error; the result then also has what the program wrote to standard error. Default: it is one. */
  readonly mayFail?: boolean;
  /** After so many milliseconds it is ended. Default: never. */
  readonly timeout?: number;
}

/** How a program ended. */
export interface RunResult {
  readonly code: number;
  readonly output: string;
}

/** Runs a program to its end. */
export async function runToEnd(command: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const child = Bun.spawn([...command], {
    cwd: options.cwd ?? root,
    env: { ...process.env, ...options.env },
    stdio: ["ignore", "pipe", "pipe"],
    ...(options.timeout === undefined ? {} : { timeout: options.timeout }),
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (code !== 0 && options.mayFail !== true) throw new Error(`${command.join(" ")} failed (${code}):\n${err}${out}`);
  return { code, output: options.mayFail === true ? out + err : out };
}

/** Folder of the user for programs that are fetched or built once: `$XDG_CACHE_HOME/muin/<name>`, default `~/.cache/muin/<name>`. */
export function toolFolder(name: string): string {
  return join(process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache"), "muin", name);
}
