import { chmod, mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { listProcesses } from "../local/processes.ts";
import { eventually } from "./eventually.ts";

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
  /** Ends what still works in it, and removes it. Idempotent. */
  remove(): Promise<void>;
}

/** A process that has its working directory in a folder. */
export interface FolderProcess {
  readonly pid: number;
  /** Its working directory relative to the folder: "redis/counts", "postgres/data"; "" in itself. */
  readonly name: string;
  /** File name of the program that it runs. */
  readonly program: string;
  /** Whether its parent is outside of the folder, or not of the same name: false for a worker of PostgreSQL. */
  readonly main: boolean;
}

/** Makes an empty folder under `parent`, by default the system's temporary folder, that its owner alone can list. */
export async function createServerFolder(name: string, parent = tmpdir()): Promise<ServerFolder> {
  const path = await realpath(await mkdtemp(join(parent, `muin-test-${name}-`)));
  await chmod(path, 0o711); // PostgreSQL may run as another user, who must reach its data below.
  const guard = Bun.spawn(["sh", "-c", guardScript, "sh", path], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true, // Ctrl-C on a terminal must not end the guard before the test process.
  });
  guard.unref();
  let removed: Promise<void> | undefined;
  const remove = async (): Promise<void> => {
    for (const { pid, program, main } of await processesIn(path)) {
      if (!main) continue;
      // SIGQUIT ends PostgreSQL at once, its workers and its shared memory too; one that was halted would not see it.
      for (const signal of program === "postgres" ? (["SIGCONT", "SIGQUIT"] as const) : (["SIGKILL"] as const)) {
        signalIfThere(pid, signal);
      }
    }
    await untilEnded(path);
    await rm(path, { recursive: true, force: true });
    await guard.stdin.end();
    await guard.exited;
  };
  return { path, processes: () => processesIn(path), remove: () => (removed ??= remove()) };
}

/** The processes that work in a folder now. */
export async function processesIn(folder: string): Promise<readonly FolderProcess[]> {
  const all = await listProcesses();
  const there = all
    .map(({ pid, parent, program, folder: place }) => ({ pid, parent, program, name: relative(folder, place) }))
    .filter(({ name }) => name.split("/")[0] !== "..");
  return there.map(({ pid, parent, program, name }) => ({
    pid,
    name,
    program,
    main: !there.some((other) => other.pid === parent && other.name === name),
  }));
}

/** Time for processes to end that were told to, on a busy machine. */
const endMsMax = 20_000;

/** Resolves when no process works in a folder any more. */
export async function untilEnded(folder: string): Promise<void> {
  const check = async (): Promise<void> => {
    const left = await processesIn(folder);
    if (left.length > 0)
      throw new Error(`${left.map(({ pid, program }) => `${program} (${pid})`).join(", ")} did not end`);
  };
  await eventually(check, { timeoutMs: endMsMax });
}

function signalIfThere(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch {
    // It has ended meanwhile.
  }
}
