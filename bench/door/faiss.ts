import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join } from "node:path";
import { matchRule } from "./people.ts";
import type { Answers, Subject } from "./subject.ts";

/** What pip installs: the versions that were measured. */
const requirements = ["faiss-cpu==1.15.1", "numpy==2.4.6"];
const script = join(import.meta.dir, "faiss-peer.py");
/** Time for pip to fetch 30 MB and unpack them. */
const installMsMax = 180_000;

/** Where Python finds faiss: installed once per user, as Redis is. `undefined` where there is no Python, or pip cannot install it. */
export async function provideFaiss(report: (line: string) => void): Promise<string | undefined> {
  if (Bun.which("python3") === null) return undefined;
  const cache = process.env["XDG_CACHE_HOME"] ?? join(homedir(), ".cache");
  const folder = join(cache, "muin", "bench-faiss-1.15.1");
  if (await imports(folder)) return folder;
  report(`installing ${requirements.join(" and ")} by pip`);
  const half = `${folder}.${process.pid}`;
  await mkdir(half, { recursive: true });
  const options = ["--quiet", "--no-input", "--disable-pip-version-check", "--only-binary=:all:", "--target", half];
  const pip = Bun.spawn(["python3", "-m", "pip", "install", ...options, ...requirements], {
    stdio: ["ignore", "ignore", "ignore"],
    timeout: installMsMax,
  });
  const isDone = (await pip.exited) === 0 && (await imports(half));
  if (isDone) await rename(half, folder).catch(() => undefined); // Another process was as quick.
  await rm(half, { recursive: true, force: true });
  return (await imports(folder)) ? folder : undefined;
}

async function imports(folder: string): Promise<boolean> {
  const python = Bun.spawn(["python3", "-c", "import faiss"], {
    env: { ...process.env, PYTHONPATH: folder },
    stdio: ["ignore", "ignore", "ignore"],
  });
  return (await python.exited) === 0;
}

/** Starts the peer with galleries of these sizes. It ends with its standard input, and so with the bench. */
export async function startFaiss(
  packages: string,
  peopleFolder: string,
  sizes: readonly number[],
): Promise<Subject & { readonly version: string }> {
  const rule = [String(matchRule.threshold), String(matchRule.margin)];
  const child = Bun.spawn(["python3", script, peopleFolder, JSON.stringify(sizes), ...rule], {
    env: { ...process.env, PYTHONPATH: packages, OMP_NUM_THREADS: "1" },
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const lines = linesOf(child.stdout);
  const nextLine = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new Error("the peer in Python has ended");
    return value;
  };
  return {
    version: await nextLine(),
    processes: () => Promise.resolve({ faiss: [child.pid] }),
    run: async (load) => {
      await child.stdin.write(`${JSON.stringify(load)}\n`);
      await child.stdin.flush();
      return JSON.parse(await nextLine()) as Answers;
    },
    close: async () => {
      await child.stdin.end();
      await child.exited;
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array>): AsyncGenerator<string, undefined> {
  const decoder = new TextDecoder();
  let text = "";
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    yield* lines;
  }
  return undefined;
}
