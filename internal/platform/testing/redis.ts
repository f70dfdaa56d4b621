import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { freePort } from "../local/free-port.ts";
import { provideRedis } from "../local/redis-binary.ts";
import { eventually } from "./eventually.ts";
import { createServerFolder } from "./server-folder.ts";
import type { SteppableClock } from "./steppable-clock.ts";

/** Attempts at a free port: another process can take one between asking for it and listening on it. */
const portAttemptsMax = 5;
/** Time for a server to answer after it was started, on a busy machine. */
const readyMsMax = 20_000;

/** How a test wants its Redis. */
export interface TestRedisOptions {
  /** Default "always", as in production. */
  readonly appendfsync?: "always" | "everysec" | "no";
  /** Further settings, as on redis-server's command line: ["--maxmemory", "10mb"]. They win over the defaults. */
  readonly args?: readonly string[];
  /** Default: the machine's. */
  readonly clock?: SteppableClock;
}

/** A real Redis server on loopback with data of its own: append-only file on, no snapshots. */
export interface TestRedis extends AsyncDisposable {
  /** `redis://:password@127.0.0.1:port`, the default user with all rights. */
  readonly url: string;
  readonly host: string;
  /** Stays the same over restarts. */
  readonly port: number;
  readonly password: string;
  /** Process id of the server that runs now. */
  readonly pid: number;
  /** Its data folder. */
  readonly dir: string;
  /** Sends a signal; resolves when the process has ended, at once for SIGSTOP and SIGCONT. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and data; one that runs is ended by SIGTERM first. Resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a Redis server; resolves when it answers. */
export async function startRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const binary = await provideRedis({ env: process.env, report: (line) => console.error(line), clock: systemClock });
  const folder = await createServerFolder("redis");
  const password = crypto.randomUUID();
  const host = "127.0.0.1";
  let port = 0;
  let child: Bun.Subprocess | undefined;
  let stopped: Promise<void> | undefined;

  const launch = async (): Promise<void> => {
    const config = join(folder.path, "redis.conf");
    await writeFile(
      config,
      `bind ${host}
port ${port}
dir ${folder.path}
requirepass ${password}
appendonly yes
appendfsync ${options.appendfsync ?? "always"}
save ""
lazyfree-lazy-expire yes
logfile ${join(folder.path, "redis.log")}
enable-debug-command local
`,
      { mode: 0o600 },
    );
    const started = Bun.spawn([binary.server, config, ...(options.args ?? [])], {
      cwd: folder.path,
      env: { ...process.env, ...options.clock?.env },
      stdin: "ignore",
      stdout: "ignore",
      stderr: "ignore",
      detached: true,
    });
    child = started;
    await untilReady(`redis://:${password}@${host}:${port}`, started);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined) return;
    child.kill("SIGCONT"); // A stopped process would not see SIGTERM.
    child.kill(signal);
    await child.exited;
  };

  for (let attempt = 1; ; attempt += 1) {
    port = await freePort(systemRandom);
    try {
      await launch();
      break;
    } catch (error) {
      const log = await Bun.file(join(folder.path, "redis.log"))
        .text()
        .catch(() => "");
      await end("SIGKILL");
      if (attempt < portAttemptsMax && log.includes("Address already in use")) continue;
      await folder.remove();
      throw new Error(`the test's Redis did not start:\n${log}`, { cause: error });
    }
  }
  const stop = (): Promise<void> => (stopped ??= end("SIGKILL").then(() => folder.remove()));
  return {
    url: `redis://:${password}@${host}:${port}`,
    host,
    port,
    password,
    dir: folder.path,
    get pid() {
      return child?.pid ?? 0;
    },
    kill: async (signal) => {
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await end(signal);
      else child?.kill(signal);
    },
    restart: async () => {
      await end("SIGTERM");
      await launch();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

let shared: Promise<TestRedis> | undefined;

/** The one Redis of this test process, started on first use; it ends with the process. Keep to keys of your own. */
export function sharedRedis(): Promise<TestRedis> {
  return (shared ??= startRedis());
}

async function untilReady(url: string, child: Bun.Subprocess): Promise<void> {
  await eventually(
    async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
      client.on("error", () => undefined); // The rejected call below carries the error.
      try {
        await client.connect();
        await client.ping();
      } finally {
        client.disconnect();
      }
    },
    { timeoutMs: readyMsMax },
  );
  if (child.exitCode !== null || child.signalCode !== null) throw new Error("redis-server ended at once");
}
