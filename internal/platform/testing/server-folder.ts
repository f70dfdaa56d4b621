import { mkdtemp, realpath, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/**
 * Waits for the end of its standard input, which comes when the test process ends in whatever way, then kills the server
 * that runs in the folder and removes it. The working directory tells a server of ours from a stranger with a reused pid.
 */
const GUARD = `cat >/dev/null
for pid in $(cat "$1"/pid 2>/dev/null); do
  [ "$(readlink /proc/"$pid"/cwd)" = "$1" ] && kill -9 "$pid"
done
rm -rf "$1"`;

/** A temporary folder for one server. It and the server are gone when the test process is, even after kill -9. */
export interface ServerFolder {
  readonly path: string;
  /** Names the running server's process; its working directory must be the folder. */
  setPid(pid: number): Promise<void>;
  /** Removes the folder; the server must have ended. */
  remove(): Promise<void>;
}

/** Makes an empty folder under the system's temporary folder, readable by its owner only. */
export async function createServerFolder(name: string): Promise<ServerFolder> {
  const path = await realpath(await mkdtemp(join(tmpdir(), `muin-test-${name}-`)));
  const guard = Bun.spawn(["sh", "-c", GUARD, "sh", path], {
    stdin: "pipe",
    stdout: "ignore",
    stderr: "ignore",
    detached: true, // Ctrl-C on a terminal must not end the guard before the test process.
  });
  guard.unref();
  return {
    path,
    setPid: (pid) => writeFile(join(path, "pid"), `${pid}\n`),
    remove: async () => {
      await rm(path, { recursive: true, force: true });
      await guard.stdin.end();
      await guard.exited;
    },
  };
}
