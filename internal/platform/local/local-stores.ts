import { statfs } from "node:fs/promises";
import type { Component } from "../lifecycle/component.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DataFolder } from "./data-folder.ts";
import { ensureDatabases, type DatabaseSpec } from "./database-rights.ts";
import { providePostgres, type PostgresBinaries } from "./postgres-binaries.ts";
import { createPostgresServer } from "./postgres-server.ts";
import { provideRedis, type RedisBinary } from "./redis-binary.ts";
import { createRedisServer, type RedisServer, type RedisServerSpec } from "./redis-server.ts";
import type { ProcessStatus } from "./supervised-process.ts";

/** With less room than this a disk counts as full, in bytes: stores fail a little before the last byte. */
const diskFreeBytesMin = 16 * 1024 * 1024;

/** What the local stores are. */
export interface LocalStoresOptions {
  /** Started before the stores, stopped after them. */
  readonly folder: DataFolder;
  /** Redis servers; a primary stands before its replicas. */
  readonly redis: readonly RedisServerSpec[];
  readonly databases: readonly DatabaseSpec[];
  /** For `REDIS_SERVER`, `POSTGRES_BIN`, `PATH`, `HOME`, `XDG_CACHE_HOME`, and what pip and make go by. */
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Gets a line for a person whenever something takes long, such as fetching or building Redis. */
  readonly report: (line: string) => void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** A store as `muin status` shows it. */
export interface StoreStatus extends ProcessStatus {
  /** "postgres", or "redis " and the server's name. */
  readonly name: string;
  /** Of the program, such as "8.10.2". */
  readonly version: string;
  readonly port: number;
}

/** The stores and the disk that they are on. */
export interface LocalStoresStatus {
  readonly stores: readonly StoreStatus[];
  readonly disk: { readonly path: string; readonly freeBytes: number; readonly full: boolean };
}

/** PostgreSQL and the Redis servers of a standalone Muin. */
export interface LocalStores extends Component {
  /** URL of a Redis server for one of its users. After `start`. */
  redisUrl(server: string, user: string): string;
  /** URL of a database for one of its roles: schema role, data role or a reader. After `start`. */
  postgresUrl(database: string, role: string): string;
  /** How the stores are now. A store that is being restarted says why it ended. */
  status(): Promise<LocalStoresStatus>;
}

/**
 * Runs a PostgreSQL cluster and Redis servers on loopback in a data folder, for a Muin that has no stores given. `start` finds or
 * fetches the programs, ends orphaned processes of an earlier run, starts all servers, and makes databases, roles and users with
 * generated passwords; every step is safe to repeat. It rejects with a `SetupError` when the person who starts Muin must change
 * something. A server that ends is started again until `stop`, which ends all of them cleanly within 7 seconds. When this process
 * exits without `stop`, they are asked to end and not waited for; after kill -9 the next start ends them.
 */
export function createLocalStores(options: LocalStoresOptions): LocalStores {
  const { folder, clock, random, log, env, report } = options;
  let redisBinary: RedisBinary | undefined;
  let postgresBinaries: PostgresBinaries | undefined;
  const passwords = new Map<string, string>();
  const stopping = new AbortController();
  const postgres = createPostgresServer({ folder, binaries: () => provided(postgresBinaries), clock, random, log });
  const servers = new Map<string, RedisServer>();
  for (const spec of options.redis) {
    const primary = spec.replicaOf === undefined ? undefined : servers.get(spec.replicaOf);
    if (spec.replicaOf !== undefined && primary === undefined) {
      throw new Error(`the Redis server "${spec.name}" follows "${spec.replicaOf}", which does not stand before it`);
    }
    servers.set(
      spec.name,
      createRedisServer(spec, { folder, binary: () => provided(redisBinary), clock, random, log }, primary),
    );
  }
  const replicaNames = new Set(options.redis.filter((spec) => spec.replicaOf !== undefined).map((spec) => spec.name));
  const primaries = [...servers].filter(([name]) => !replicaNames.has(name)).map(([, server]) => server);
  const replicas = [...servers].filter(([name]) => replicaNames.has(name)).map(([, server]) => server);

  const startPostgres = async (): Promise<void> => {
    await postgres.start();
    await ensureDatabases(postgres, options.databases, async (role) => {
      const password = await folder.secret(`postgres/${role}`);
      passwords.set(role, password);
      return password;
    });
  };
  const startRedis = async (): Promise<void> => {
    await together(primaries.map((server) => server.start()));
    await together(replicas.map((server) => server.start()));
  };
  const all = [postgres, ...primaries, ...replicas];
  const onExit = (): void => {
    for (const server of all) server.abandon();
  };
  const stop = async (): Promise<void> => {
    stopping.abort(new Error("the local stores are being stopped"));
    await together(all.map((server) => server.stop()));
    process.off("exit", onExit);
  };

  return {
    name: "local stores",
    start: async () => {
      postgresBinaries = await providePostgres({ env });
      redisBinary = await provideRedis({ env, report, clock, signal: stopping.signal });
      process.on("exit", onExit);
      try {
        await together([startPostgres(), startRedis()]);
      } catch (error) {
        await stop().catch((failure: unknown) => log.error("the stores did not stop cleanly", { err: failure }));
        throw error;
      }
    },
    stop,
    redisUrl: (server, user) => provided(servers.get(server)).url(user),
    postgresUrl: (database, role) => {
      const password = passwords.get(role);
      if (password === undefined) throw new Error(`PostgreSQL has no role "${role}", or was not started`);
      return `postgres://${role}:${password}@127.0.0.1:${postgres.port()}/${database}`;
    },
    status: async () => {
      const { bavail, bsize } = await statfs(folder.path);
      const freeBytes = bavail * bsize;
      return {
        stores: [postgres, ...servers.values()].map(statusOf),
        disk: { path: folder.path, freeBytes, full: freeBytes < diskFreeBytesMin },
      };
    },
  };
}

function statusOf(server: Pick<RedisServer, "name" | "version" | "port" | "status">): StoreStatus {
  return { name: server.name, version: server.version(), port: server.port(), ...server.status() };
}

function provided<T>(value: T | undefined): T {
  if (value === undefined) throw new Error("the local stores were not started");
  return value;
}

/** Waits for all of them, then rejects with the first error there was. */
async function together(parts: readonly Promise<void>[]): Promise<void> {
  for (const result of await Promise.allSettled(parts)) {
    if (result.status === "rejected") throw result.reason;
  }
}
