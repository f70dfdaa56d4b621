import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";

/** A process of this machine that ours may look at. */
export interface ProcessFacts {
  readonly pid: number;
  readonly parent: number;
  /** Its working directory, as the kernel names it. */
  readonly folder: string;
  /** File name of the program that it runs. */
  readonly program: string;
}

/** The processes that run now; not those that have ended and that nobody has waited for yet (zombies). */
export async function listProcesses(): Promise<readonly ProcessFacts[]> {
  const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid): Promise<ProcessFacts | undefined> => {
      try {
        const [folder, program] = await Promise.all([readlink(`/proc/${pid}/cwd`), readlink(`/proc/${pid}/exe`)]);
        const [state, parent] = (await statFields(Number(pid))) ?? [];
        if (parent === undefined || state === "Z") return undefined;
        return {
          pid: Number(pid),
          parent: Number(parent),
          folder: present(folder),
          program: basename(present(program)),
        };
      } catch {
        return undefined; // It has ended meanwhile, or belongs to another account: not ours.
      }
    }),
  );
  return found.filter((facts) => facts !== undefined);
}

/** When a process started, in ticks after the boot; `undefined` when there is none. */
export async function startTicks(pid: number): Promise<string | undefined> {
  return (await statFields(pid))?.[19];
}

/** The fields of proc_pid_stat(5) from the third, its state, on; `undefined` when there is no such process. */
async function statFields(pid: number): Promise<readonly string[] | undefined> {
  let stat: string;
  try {
    stat = await readFile(`/proc/${pid}/stat`, "utf8");
  } catch (error) {
    // ESRCH: it ended between the opening and the reading.
    if (error instanceof Error && "code" in error && (error.code === "ENOENT" || error.code === "ESRCH"))
      return undefined;
    throw error;
  }
  // The name before them may hold anything, a closing parenthesis included.
  return stat.slice(stat.lastIndexOf(")") + 2).split(" ");
}

/** A path without what the kernel adds when nothing is there any more. */
function present(path: string): string {
  return path.replace(/ \(deleted\)$/, "");
}
