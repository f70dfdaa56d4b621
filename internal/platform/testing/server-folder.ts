import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { listProcesses } from "../local/processes.ts";

/**
 * Waits for the end of its standard input, which comes when the test process ends in whatever way, then kills the servers
 * that run in the folder and removes it. The working directory tells a server of ours from a stranger.
 */
const guardScript = `cat >/dev/null
[ -d "$1" ] || exit 0
for cwd in /proc/[0-9]*/cwd; do
  case "$(readlink "$cwd")" in
    "$1" | "$1"/*) pid=\${cwd#/proc/} && kill -9 "\${pid%/cwd}" ;;
  esac
done
rm -rf "$1"`;

/**
 * A temporary folder for servers, each with a working directory in it. It and they are gone when the test process is, even
 * after kill -9.
 */
export interface ServerFolder {
  readonly path: string;
  /** The processes that work in it now. */
  processes(): Promise<readonly FolderProcess[]>;
  /** Removes the folder; its servers must have ended. */
  remove(): Promise<void>;
}

/** A process that has its working directory in a folder. */
export interface FolderProcess {
  readonly pid: number;
  /** Its working directory relative to the folder: "redis/counts", "postgres/data"; "" in itself. */
  readonly name: string;
  /** Whether its parent is outside of the folder, or not of the same name: false for a worker of PostgreSQL. */
  readonly main: boolean;
}

/** Makes an empty folder under `parent`, by default the system's temporary folder, readable by its owner only. */
export async function createServerFolder(name: string, parent = tmpdir()): Promise<ServerFolder> {
  const path = await realpath(await mkdtemp(join(parent, `muin-test-${name}-`)));
  const guard = Bun.spawn(["sh", "-c", guardScript, "sh", path], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true, // Ctrl-C on a terminal must not end the guard before the test process.
  });
  guard.unref();
  return {
    path,
    processes: () => processesIn(path),
    remove: async () => {
      await rm(path, { recursive: true, force: true });
      await guard.stdin.end();
      await guard.exited;
    },
  };
}

/** The processes that work in a folder now. */
export async function processesIn(folder: string): Promise<readonly FolderProcess[]> {
  const all = await listProcesses();
  const there = all
    .map(({ pid, parent, folder: place }) => ({ pid, parent, name: relative(folder, place) }))
    .filter(({ name }) => name.split("/")[0] !== "..");
  return there.map(({ pid, parent, name }) => ({
    pid,
    name,
    main: !there.some((other) => other.pid === parent && other.name === name),
  }));
}
