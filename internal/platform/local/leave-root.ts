import { readFile, realpath } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname } from "node:path";
import { closedFolder, isOpenTo } from "./files.ts";
import { SetupError } from "./setup-error.ts";
import { ownUser, type SystemUser } from "./system-user.ts";

/** As whom a process goes on. */
export interface RunsAs {
  /** Name of the account. */
  readonly user: string;
  /** Why it is root; `undefined` when it is not, or was told to be. */
  readonly staysRootBecause?: string;
}

/** What only root may do at first: to become somebody else, and to give them files. By their bits in capabilities(7). */
const capabilities = { CAP_CHOWN: 0n, CAP_SETGID: 6n, CAP_SETUID: 7n } as const;

/**
 * Has a process that was started as root go on as an account without its rights, for good: `user`, or "muin", which is made on first
 * use. `handOver` gives the account what it will need, while there are still the rights to. A process that could not read its own
 * program any more stays root and says why; "root" stays without a word. Rejects with a `SetupError` when there is no `user`, or when
 * somebody else than root is to become another.
 */
export async function leaveRoot(options: {
  /** Empty: "muin". */
  readonly user: string;
  handOver?(account: SystemUser): Promise<void>;
}): Promise<RunsAs> {
  const { user } = options;
  if (process.getuid?.() !== 0) return stayAs(user);
  if (user === "root") return { user };
  const missing = await missingCapabilities();
  if (missing.length > 0) return { user: "root", staysRootBecause: `it lacks ${missing.join(", ")}` };
  const account = ownUser(user);
  const unreadable = await firstUnreadable(account);
  if (unreadable !== undefined) {
    return {
      user: "root",
      staysRootBecause: `the user "${account.name}" cannot enter ${unreadable}, where the program is`,
    };
  }
  await options.handOver?.(account);
  become(account);
  return { user: account.name };
}

function become({ name, uid, gid }: SystemUser): void {
  // The types lack it. Groups of the account come first: afterwards there is no right to.
  (process as unknown as { initgroups(user: string, extraGroup: number): void }).initgroups(name, gid);
  process.setgid?.(gid);
  process.setuid?.(uid);
}

function stayAs(user: string): RunsAs {
  const own = ownName();
  if (user === "" || user === own) return { user: own };
  throw new SetupError(`MUIN_USER is "${user}", but only root can become another user: this process runs as "${own}".`);
}

function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.getuid?.()); // The account has no name.
  }
}

async function missingCapabilities(): Promise<readonly string[]> {
  const status = await readFile("/proc/self/status", "utf8");
  const held = BigInt(`0x${/^CapEff:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0"}`);
  return Object.entries(capabilities).flatMap(([name, bit]) => (((held >> bit) & 1n) === 1n ? [] : [name]));
}

/** The first place of the program that the account could not read. A binary has all of it in memory. */
async function firstUnreadable(account: SystemUser): Promise<string | undefined> {
  if (import.meta.dir.startsWith("/$bunfs/")) return undefined;
  for (const file of [process.execPath, import.meta.path, Bun.fileURLToPath(import.meta.resolve("ioredis"))]) {
    const path = await realpath(file);
    const closed =
      (await closedFolder(dirname(path), account)) ?? ((await isOpenTo(account, path, 0o4)) ? undefined : path);
    if (closed !== undefined) return closed;
  }
  return undefined;
}
