import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { createDataFolder, type DataFolder } from "../local/data-folder.ts";
import type { DatabaseSpec } from "../local/database-rights.ts";
import { createLocalStores, type LocalStores, type LocalStoresStatus } from "../local/local-stores.ts";
import type { RedisServerSpec } from "../local/redis-server.ts";
import type { Logger } from "../telemetry/logger.ts";

/** A log that nobody reads. */
export const silentLog: Logger = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};

const writerRules = ["on", "resetchannels", "-@all", "+ping", "+info", "(~count:* +@read +@write -@dangerous)"];

const databases: readonly DatabaseSpec[] = [
  {
    database: "counts",
    schemaRole: "counts_schema",
    dataRole: "counts_data",
    readers: [{ role: "look_reader" }],
  },
  { database: "other", schemaRole: "other_schema", dataRole: "other_data", readers: [] },
];

const redis: readonly RedisServerSpec[] = [
  { name: "counts", durable: true, users: [{ name: "count-write", rules: writerRules }] },
  { name: "replica", durable: true, replicaOf: "counts", users: [{ name: "count-read", rules: writerRules }] },
  { name: "cache", durable: false, users: [{ name: "count-read", rules: ["on", "-@all", "~*", "+@all"] }] },
];

/** Local stores that run in this process. */
export interface RunningStores {
  readonly folder: DataFolder;
  readonly stores: LocalStores;
  stop(): Promise<void>;
}

/**
 * Starts PostgreSQL with the databases "counts" and "other", and the Redis servers "counts", "replica" and "cache", in a data
 * folder.
 */
export async function startLocalStores(path: string): Promise<RunningStores> {
  const folder = createDataFolder({ path, random: systemRandom });
  const stores = createLocalStores({
    folder,
    redis,
    databases,
    env: process.env,
    report: (line) => console.error(line),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  const stop = async (): Promise<void> => {
    await stores.stop();
    await folder.stop();
  };
  await folder.start();
  try {
    await stores.start();
  } catch (error) {
    await stop();
    throw error;
  }
  return { folder, stores, stop };
}

/** What a process with local stores says once they run. */
export interface StoresReport {
  readonly redisUrl: string;
  readonly schemaUrl: string;
  readonly pids: readonly number[];
}

/** Local stores that run in a process of their own, for tests that kill it. */
export interface StoresProcess {
  readonly child: Bun.Subprocess;
  readonly report: StoresReport;
  status(): Promise<LocalStoresStatus>;
}

/** Starts the same as `startLocalStores` in another process; `wrapper` is a command that runs the command after it. */
export async function startStoresProcess(path: string, wrapper: readonly string[] = []): Promise<StoresProcess> {
  const child = Bun.spawn([...wrapper, process.execPath, import.meta.path, path], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const answers = linesOf(child.stdout);
  const answer = async (): Promise<unknown> => {
    const { done, value } = await answers.next();
    if (done === true) throw new Error("the process with the stores ended");
    return JSON.parse(value);
  };
  return {
    child,
    report: (await answer()) as StoresReport,
    status: async () => {
      await child.stdin.write("status\n");
      await child.stdin.flush();
      return (await answer()) as LocalStoresStatus;
    },
  };
}

async function* linesOf(stream: ReadableStream<Uint8Array<ArrayBuffer>>): AsyncGenerator<string, undefined> {
  let rest = "";
  for await (const text of stream.pipeThrough(new TextDecoderStream())) {
    const lines = (rest + text).split("\n");
    rest = lines.pop() ?? "";
    yield* lines;
  }
}

function say(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

if (import.meta.main) {
  const running = await startLocalStores(process.argv[2] ?? "");
  process.on("SIGUSR2", () => process.exit(3)); // An exit that stops nothing.
  process.on("SIGTERM", () => void running.stop().then(() => process.exit(0)));
  const { stores } = await running.stores.status();
  const report: StoresReport = {
    redisUrl: running.stores.redisUrl("counts", "count-write"),
    schemaUrl: running.stores.postgresUrl("counts", "counts_schema"),
    pids: stores.flatMap(({ pid }) => (pid === undefined ? [] : [pid])),
  };
  say(report);
  for await (const _ of console) say(await running.stores.status());
}
