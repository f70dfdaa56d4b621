import { join } from "node:path";
import type { Environment } from "../config/read-config.ts";
import { serviceFolders } from "../local/data-folder.ts";
import { giveTree } from "../local/give-tree.ts";
import { handOverDataFolder } from "../local/hand-over.ts";
import { leaveRoot, type RunsAs } from "../local/leave-root.ts";
import { provideProgramsFor } from "../local/own-programs.ts";
import type { ProvideRedisOptions } from "../local/redis-binary.ts";
import type { Logger } from "../telemetry/logger.ts";

/** How a standalone process goes on. */
export interface OwnAccount {
  readonly runsAs: RunsAs;
  /** Where the stores' programs are, for the environment; empty where they are still to be found. */
  readonly programs: Environment;
}

const root = { uid: 0, gid: 0 } as const;

/**
 * Has a process that root started go on as an account of its own, as `leaveRoot` does, with the data folder and the stores' programs. Where
 * it stays root, what another account had of the data folder is root's again.
 */
export async function takeOwnAccount(
  options: ProvideRedisOptions & { readonly user: string; readonly dataDir: string; readonly log: Logger },
): Promise<OwnAccount> {
  const { user, dataDir, log } = options;
  let programs: Environment = {};
  const runsAs = await leaveRoot({
    user,
    handOver: async (account) => {
      programs = await provideProgramsFor(account, options);
      await handOverDataFolder(dataDir, account, options);
    },
  });
  if (process.getuid?.() === root.uid) {
    for (const name of ["redis", "mail", "tls", serviceFolders]) await giveTree(join(dataDir, name), root);
  }
  sayRunsAs(runsAs, log);
  return { runsAs, programs };
}

/** Tells the log as whom a process runs. */
export function sayRunsAs({ user, staysRootBecause }: RunsAs, log: Logger): void {
  if (staysRootBecause === undefined) log.info("runs as", { user });
  else log.warn("runs as root, with all its rights", { reason: staysRootBecause });
}

/** What whoever runs a process should set right about its account; `undefined` when all is well. */
export function accountNotice({ staysRootBecause }: RunsAs): string | undefined {
  return staysRootBecause && `Muin runs as root, with all its rights: ${staysRootBecause}`;
}
