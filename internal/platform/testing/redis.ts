import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { Redis } from "ioredis";
import { systemClock } from "../clock/clock.ts";
import { provideRedis } from "../local/redis-binary.ts";
import { createServerFolder } from "./server-folder.ts";
import { startServerProcess, type ServerProcess } from "./server-process.ts";
import type { SteppableClock } from "./steppable-clock.ts";

const host = "127.0.0.1";

/** How a test wants its Redis. */
export interface TestRedisOptions {
  /** Default "always", as in production. */
  readonly appendfsync?: "always" | "everysec" | "no";
  /** Further settings, as on redis-server's command line: ["--maxmemory", "10mb"]. They win over the defaults. */
  readonly args?: readonly string[];
  /** Users beside the default one, whose names are as harmless as their passwords, with ACL rules. Default: none. */
  readonly users?: readonly { readonly name: string; readonly password: string; readonly rules: readonly string[] }[];
  /** Lines of an ACL file. Default: none. */
  readonly acl?: string;
  /** Default: the machine's. */
  readonly clock?: SteppableClock;
}

/** A real Redis server on loopback with data of its own: append-only file on, no snapshots. */
export interface TestRedis extends ServerProcess {
  /** `redis://:password@127.0.0.1:port`, the default user with all rights. */
  readonly url: string;
  readonly host: string;
  readonly password: string;
  /** Its data folder. */
  readonly dir: string;
}

/** Starts a Redis server; resolves when it answers. */
export async function startRedis(options: TestRedisOptions = {}): Promise<TestRedis> {
  const binary = await provideRedis({ env: process.env, report: (line) => console.error(line), clock: systemClock });
  const folder = await createServerFolder("redis");
  const config = join(folder.path, "redis.conf");
  const password = crypto.randomUUID();
  const url = (port: number): string => `redis://:${password}@${host}:${port}`;
  const server = await startServerProcess({
    name: "Redis",
    folder,
    prepare: async (port) => {
      const settings = [
        `bind ${host}`,
        `port ${port}`,
        `dir ${folder.path}`,
        `requirepass ${password}`,
        "appendonly yes",
        `appendfsync ${options.appendfsync ?? "always"}`,
        'save ""',
        "lazyfree-lazy-expire yes",
        "enable-debug-command local",
        ...(options.users ?? []).map((user) => `user ${user.name} reset ${user.rules.join(" ")} >${user.password}`),
        options.acl ?? "",
      ];
      await writeFile(config, `${settings.join("\n")}\n`, { mode: 0o600 });
      return [binary.server, config, ...(options.args ?? [])];
    },
    env: { ...process.env, ...options.clock?.env },
    probe: (port) => ping(url(port)),
    endSignal: "SIGTERM",
    stopSignal: "SIGKILL",
  });
  return Object.assign(server, { url: url(server.port), host, password, dir: folder.path });
}

let shared: Promise<TestRedis> | undefined;

/** The one Redis of this test process, started on first use; it ends with the process. Keep to keys of your own. */
export function sharedRedis(): Promise<TestRedis> {
  return (shared ??= startRedis());
}

async function ping(url: string): Promise<void> {
  const client = new Redis(url, { lazyConnect: true, retryStrategy: () => null, maxRetriesPerRequest: 0 });
  client.on("error", () => undefined); // The rejected call below carries the error.
  try {
    await client.connect();
    await client.ping();
  } finally {
    client.disconnect();
  }
}
