import { copyFile, chmod, mkdir, rename, rm, stat } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { closedFolder } from "./files.ts";
import type { SystemUser } from "./system-user.ts";

/** Where root keeps copies of programs that lie under folders which the accounts that run them cannot enter. */
export const sharedFolder = "/var/cache/muin";

/** The program, or root's copy of it in a folder of that name where `account` cannot reach it. */
export async function reachableProgram(program: string, folder: string, account: SystemUser): Promise<string> {
  if ((await closedFolder(dirname(program), account)) === undefined) return program;
  const target = join(sharedFolder, folder, "bin", basename(program));
  const wanted = (await stat(program)).size;
  const kept = await stat(target).catch(() => undefined); // There is none yet.
  if (kept?.size === wanted) return target;
  await mkdir(dirname(target), { recursive: true, mode: 0o755 });
  const partial = `${target}.partial-${process.pid}`;
  try {
    await copyFile(program, partial);
    await chmod(partial, 0o755);
    await rename(partial, target); // Complete or absent, whoever looks and whenever we are killed.
  } finally {
    await rm(partial, { force: true });
  }
  return target;
}
