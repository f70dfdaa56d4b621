import { lchown, lstat, readdir } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import type { Clock } from "../clock/clock.ts";
import type { Logger } from "../telemetry/logger.ts";
import { makeDataFolder, serviceFolders, takeDataLock } from "./data-folder.ts";
import { closedFolder } from "./files.ts";
import { giveTree } from "./give-tree.ts";
import { endOrphans } from "./orphans.ts";
import { SetupError } from "./setup-error.ts";
import type { SystemUser } from "./system-user.ts";

/** What of a data folder is Muin's: there may be other things in it. */
const kept = [
  "lock",
  "run.json",
  "credentials.json",
  "secrets.json",
  "ports.json",
  "mail",
  "tls",
  "redis",
  "postgres",
  serviceFolders,
];

/**
 * Gives root's data folder at `path`, made when absent, to the account that Muin goes on as, and ends the servers that an earlier Muin
 * of another account left on it. Rejects with a `SetupError` when the account cannot reach it, or another Muin runs on it. Nothing is
 * touched in a folder that is the account's own already.
 */
export async function handOverDataFolder(
  given: string,
  account: SystemUser,
  deps: { readonly clock: Clock; readonly log: Logger },
): Promise<void> {
  const path = resolve(given);
  await makeDataFolder(dirname(path), 0o755);
  const closed = await closedFolder(dirname(path), account);
  if (closed !== undefined) {
    throw new SetupError(
      `Muin runs as the user "${account.name}", which cannot enter ${closed}. Choose another data folder with --data-dir, ` +
        `or allow it: chmod o+x ${closed}`,
    );
  }
  await makeDataFolder(path, 0o700);
  const owners = await Promise.all([path, ...kept.map((name) => join(path, name))].map(ownerOf));
  if (owners.every((uid) => uid === undefined || uid === account.uid)) return;
  const lock = await takeDataLock(path);
  try {
    await endServersOn(path, deps);
    for (const name of kept) await giveTree(join(path, name), account);
    await lchown(path, account.uid, account.gid);
  } finally {
    lock.release();
  }
}

async function endServersOn(path: string, deps: { readonly clock: Clock; readonly log: Logger }): Promise<void> {
  const redis = join(path, "redis");
  for (const name of await readdir(redis).catch(() => [])) {
    await endOrphans({ ...deps, folder: join(redis, name), programs: ["redis-server"], signal: "SIGTERM" });
  }
  for (const name of ["postgres", "postgres/data"]) {
    await endOrphans({ ...deps, folder: join(path, name), programs: ["postgres", "initdb"], signal: "SIGINT" });
  }
}

async function ownerOf(path: string): Promise<number | undefined> {
  return lstat(path).then(
    ({ uid }) => uid,
    () => undefined, // There is nothing yet.
  );
}
