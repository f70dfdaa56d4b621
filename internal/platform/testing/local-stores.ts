import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { createDataFolder, type DataFolder } from "../local/data-folder.ts";
import type { DatabaseSpec } from "../local/database-rights.ts";
import { createLocalStores, type LocalStores } from "../local/local-stores.ts";
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
    readers: [{ role: "look_reader", views: ["shown"] }],
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

/** Starts the same in a process of its own, for tests that kill it. */
export async function startStoresProcess(
  path: string,
): Promise<{ readonly child: Bun.Subprocess; readonly report: StoresReport }> {
  const code = `import { reportLocalStores } from ${JSON.stringify(import.meta.path)}; await reportLocalStores(${JSON.stringify(path)});`;
  const child = Bun.spawn([process.execPath, "-e", code], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  let text = "";
  while (!text.includes("\n")) {
    const { done, value } = await reader.read();
    if (done) throw new Error("the process with the stores ended");
    text += new TextDecoder().decode(value);
  }
  return { child, report: JSON.parse(text) as StoresReport };
}

/** The other side of `startStoresProcess`. */
export async function reportLocalStores(path: string): Promise<void> {
  const running = await startLocalStores(path);
  process.on("SIGTERM", () => void running.stop());
  const { stores } = await running.stores.status();
  const report: StoresReport = {
    redisUrl: running.stores.redisUrl("counts", "count-write"),
    schemaUrl: running.stores.postgresUrl("counts", "counts_schema"),
    pids: stores.flatMap(({ pid }) => (pid === undefined ? [] : [pid])),
  };
  process.stdout.write(`${JSON.stringify(report)}\n`);
}
