import { resolve } from "node:path";

/**
 * Absolute paths of the files in which a checkout differs from where it left the main branch: commits, what is not committed, and
 * files that git does not know yet. Undefined where this cannot be told: no git, or no main branch.
 */
export async function changedFiles(folder: string): Promise<ReadonlySet<string> | undefined> {
  const git = async (...args: readonly string[]): Promise<string | undefined> => {
    if (Bun.which("git") === null) return undefined;
    const child = Bun.spawn(["git", ...args], { cwd: folder, stdio: ["ignore", "pipe", "ignore"] });
    const output = await new Response(child.stdout).text();
    return (await child.exited) === 0 ? output : undefined;
  };
  const top = await git("rev-parse", "--show-toplevel");
  const base = (await git("merge-base", "HEAD", "origin/main")) ?? (await git("merge-base", "HEAD", "main"));
  if (top === undefined || base === undefined) return undefined;
  const changed = await git("diff", "--name-only", "-z", base.trim());
  const unknown = await git("ls-files", "--others", "--exclude-standard", "--full-name", "-z");
  const files = `${changed ?? ""}${unknown ?? ""}`.split("\0").filter((file) => file !== "");
  return new Set(files.map((file) => resolve(top.trim(), file)));
}
