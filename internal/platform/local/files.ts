import { access, constants, mkdir, open, readFile, realpath, rename, stat } from "node:fs/promises";
import { dirname } from "node:path";
import type { SystemUser } from "./system-user.ts";

/** Replaces a file at once and durably: whoever reads it, and whenever the machine stops, it is the old or the new one. */
export async function replaceFile(path: string, content: string, options: { readonly mode: number }): Promise<void> {
  const partial = `${path}.partial`;
  const file = await open(partial, "w", options.mode);
  try {
    await file.chmod(options.mode); // `open` does not change the mode of a file that was there.
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(partial, path);
  const folder = await open(dirname(path), constants.O_RDONLY);
  try {
    await folder.sync();
  } finally {
    await folder.close();
  }
}

/** The text of a file; `undefined` when there is no such file. */
export async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The value in a JSON file; `undefined` when there is no such file. */
export async function readJson<T>(path: string): Promise<T | undefined> {
  const text = await readText(path);
  return text === undefined ? undefined : (JSON.parse(text) as T);
}

/** Makes a folder with exactly this mode, and belonging to `owner` if one is given. */
export async function makeFolder(path: string, mode: number, owner?: SystemUser): Promise<void> {
  await mkdir(path, { recursive: true, mode });
  const folder = await open(path, constants.O_RDONLY);
  try {
    await folder.chmod(mode);
    if (owner !== undefined) await folder.chown(owner.uid, owner.gid);
  } finally {
    await folder.close();
  }
}

/** Whether there is something at the path. */
export async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false, // Not there, or not for us: the same to whoever asks.
  );
}

/**
 * The first folder, from `path` upwards and then from where links lead, that an account cannot enter. Default: an account without
 * rights of its own.
 */
export async function closedFolder(path: string, account?: SystemUser): Promise<string | undefined> {
  for (const from of new Set([path, await realpath(path)])) {
    for (let folder = from; ; folder = dirname(folder)) {
      if (!(await isOpenTo(account, folder, constants.S_IXOTH))) return folder;
      if (folder === dirname(folder)) break;
    }
  }
  return undefined;
}

/** Whether the mode of what is at `path` gives an account the right `bit`, named as it stands among those of others. */
export async function isOpenTo(account: SystemUser | undefined, path: string, bit: number): Promise<boolean> {
  const { mode, uid, gid } = await stat(path);
  const shift = account?.uid === uid ? 6 : account?.gid === gid ? 3 : 0;
  return ((mode >> shift) & bit) !== 0;
}

/** Whether an error of the file system says that there is no such file. */
export function isMissing(error: unknown): boolean {
  return error instanceof Error && "code" in error && error.code === "ENOENT";
}
