import { lchown, lstat, readdir } from "node:fs/promises";
import { join } from "node:path";
import { isMissing } from "./files.ts";
import type { SystemUser } from "./system-user.ts";

/** Gives what is at `path` to `owner`, and all below. A folder that is theirs already is not looked into; links are not followed. */
export async function giveTree(path: string, owner: Pick<SystemUser, "uid" | "gid">): Promise<void> {
  const stats = await lstat(path).catch((error: unknown) => {
    if (isMissing(error)) return undefined;
    throw error;
  });
  if (stats === undefined || stats.uid === owner.uid) return;
  if (stats.isDirectory()) {
    for (const name of await readdir(path)) await giveTree(join(path, name), owner);
  }
  await lchown(path, owner.uid, owner.gid); // Last: whoever is interrupted begins anew.
}
