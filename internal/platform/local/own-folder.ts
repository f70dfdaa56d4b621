import { access, constants, lstat, mkdir, readdir } from "node:fs/promises";
import { join } from "node:path";
import type { Component } from "../lifecycle/component.ts";
import { takeFileLock, type FileLock } from "./file-lock.ts";
import { makeFolder } from "./files.ts";
import { giveTree } from "./give-tree.ts";
import { SetupError } from "./setup-error.ts";
import type { SystemUser } from "./system-user.ts";

/** Name of the file in an own folder whose lock stands for it. */
const lockFile = "lock";

/** A folder that this process alone holds while it runs. */
export interface OwnFolder extends Component {
  /** Absolute path. */
  readonly path: string;
  /** Why it cannot be used, or `undefined`. */
  probe(): Promise<string | undefined>;
}

/**
 * The folder at `path`. `start` makes it when absent, with those above it, closes it to other accounts and takes its lock, which goes with
 * the process in whatever way that ends. It rejects with a `SetupError` while another process holds the folder, when it belongs to another
 * account, and when it holds what is not Muin's.
 */
export function createOwnFolder(path: string): OwnFolder {
  let lock: FileLock | undefined;
  return {
    name: `folder ${path}`,
    path,
    start: async () => {
      await refuseForeign(path);
      await makeFolder(path, 0o700).catch(async (error: unknown) => {
        throw new SetupError(`The folder ${path} cannot be used: ${await reasonOf(path, error)}.`);
      });
      lock = takeFileLock(join(path, lockFile));
      if (lock === undefined) {
        throw new SetupError(`The folder ${path} is in use by another process: each needs one of its own.`);
      }
    },
    stop: async () => {
      lock?.release();
      lock = undefined;
    },
    probe: () =>
      access(path, constants.R_OK | constants.W_OK | constants.X_OK).then(
        () => undefined,
        (error: unknown) => `cannot be written (${(error as { readonly code?: string }).code ?? String(error)})`,
      ),
  };
}

/** Gives an own folder, made when absent, and all in it to `account`: for root, who goes on as that. Rejects as `createOwnFolder` does. */
export async function giveOwnFolder(path: string, account: SystemUser): Promise<void> {
  await refuseForeign(path);
  await mkdir(path, { recursive: true });
  await giveTree(path, account);
}

/** Whoever named a folder with other things in it made a mistake, which must not cost them these. */
async function refuseForeign(path: string): Promise<void> {
  const held = await readdir(path).catch((): string[] => []); // There is none yet, or whoever makes it says why not.
  if (held.length === 0 || held.includes(lockFile)) return;
  throw new SetupError(`The folder ${path} holds what is not Muin's: choose one that is empty or absent.`);
}

async function reasonOf(path: string, error: unknown): Promise<string> {
  const found = await lstat(path).catch(() => undefined); // There is none: the error says why.
  const own = process.getuid?.();
  if (found !== undefined && found.uid !== own) {
    return `it belongs to user ${found.uid}, and this process runs as user ${own}`;
  }
  return error instanceof Error ? error.message : String(error);
}
