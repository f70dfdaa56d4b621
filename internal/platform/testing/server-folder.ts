import { mkdtemp, realpath, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

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
  /** Removes the folder; its servers must have ended. */
  remove(): Promise<void>;
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
    remove: async () => {
      await rm(path, { recursive: true, force: true });
      await guard.stdin.end();
      await guard.exited;
    },
  };
}
