import { readFile, rename, rm } from "node:fs/promises";
import { dirname, join } from "node:path";
import postgres, { type Sql } from "postgres";
import type { Component } from "../lifecycle/component.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { DataFolder } from "./data-folder.ts";
import { closedFolder, exists, makeFolder } from "./files.ts";
import { freePort } from "./free-port.ts";
import { giveTree } from "./give-tree.ts";
import { initCluster, postgresAdmin, postgresEnv } from "./init-cluster.ts";
import { endOrphans } from "./orphans.ts";
import type { PostgresBinaries } from "./postgres-binaries.ts";
import { SetupError } from "./setup-error.ts";
import type { SystemUser } from "./system-user.ts";
import { createSupervisedProcess, type ProcessStatus } from "./supervised-process.ts";

const dataKey = "postgres";
/** Connections over all services. */
const connectionsMax = 300;
/** Time for a fast shutdown, and again for an immediate one. */
const stopMsMax = 3000;
/** Time for a probe to connect and to answer. */
const probeSMax = 2;

/** Settings of the cluster. On the command line, so that they hold whatever an older Muin wrote; none is secret. */
const serverSettings: Readonly<Record<string, string>> = {
  listen_addresses: "127.0.0.1",
  unix_socket_directories: "",
  synchronous_commit: "on",
  fsync: "on",
  full_page_writes: "on",
  password_encryption: "scram-sha-256",
  max_connections: `${connectionsMax}`,
  shared_buffers: "64MB",
  max_wal_size: "512MB",
  log_min_messages: "warning",
  log_checkpoints: "off",
  log_min_error_statement: "panic", // Statements hold values of people; the server's log must not.
};

/** The supervised PostgreSQL server on loopback. */
export interface PostgresServer extends Component {
  /** Port; known once it was started. */
  port(): number;
  /** Such as "18.4"; known once it was started. */
  version(): string;
  /** Runs `work` on a connection of the superuser to a database. */
  asAdmin<T>(database: string, work: (sql: Sql) => Promise<T>): Promise<T>;
  status(): ProcessStatus;
  /** As of `SupervisedProcess`. */
  abandon(): void;
}

/** What it takes to run PostgreSQL. */
export interface PostgresServerDeps {
  readonly folder: DataFolder;
  /** The programs; asked for at every start. */
  readonly binaries: () => PostgresBinaries;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * A PostgreSQL cluster in the folder postgres of the data folder, made at the first start and kept running from `start` to
 * `stop`. Commits are on disk before their reply. Rejects with a `SetupError` when the account that it runs as cannot reach the data folder, or when the data
 * are of another major version.
 */
export function createPostgresServer(deps: PostgresServerDeps): PostgresServer {
  const { folder, clock, random, log } = deps;
  const home = join(folder.path, "postgres");
  const data = join(home, "data");
  let port = 0;
  let password = "";

  const connect = (database: string): Sql =>
    postgres({
      host: "127.0.0.1",
      port,
      database,
      username: postgresAdmin,
      password,
      max: 1,
      connect_timeout: probeSMax,
      onnotice: () => undefined,
      connection: { application_name: "muin-supervisor" },
    });
  const server = createSupervisedProcess({
    name: "postgres",
    prepare: async (again) => {
      if (!again) {
        // Services hold the address from the first answer on, so only a first start may move it.
        port = await freePort(random, folder.port(dataKey));
        if (folder.port(dataKey) !== port) await folder.setPort(dataKey, port);
      }
      // Processes of a server that was killed see it a little later, and hold its memory until then. The server works in data/.
      await endOrphans({ folder: data, programs: ["postgres"], signal: "SIGINT", clock, log });
      // Nothing of it runs, as was just seen; a pid that another process has by now would stop the start.
      await rm(join(data, "postmaster.pid"), { force: true });
      const settings = Object.entries(serverSettings).flatMap(([name, value]) => ["-c", `${name}=${value}`]);
      return {
        argv: [deps.binaries().postgres, "-D", data, "-p", `${port}`, ...settings],
        folder: home,
        env: postgresEnv,
        user: deps.binaries().user,
      };
    },
    probe: async () => {
      const sql = connect("postgres");
      try {
        await sql`SELECT 1`;
      } finally {
        await sql.end({ timeout: 0 });
      }
    },
    logFile: join(home, "server.log"),
    stopSignals: ["SIGINT", "SIGQUIT"], // Fast shutdown: ends sessions, writes a checkpoint. Immediate: recovers at the next start.
    stopMsMax: stopMsMax,
    clock,
    random,
    log,
  });

  return {
    name: "postgres",
    port: () => port,
    version: () => deps.binaries().version,
    status: () => server.status(),
    abandon: () => server.abandon(),
    asAdmin: async (database, work) => {
      const sql = connect(database);
      try {
        return await work(sql);
      } finally {
        await sql.end();
      }
    },
    start: async () => {
      await makeHome(home, deps.binaries().user);
      password = await folder.secret("postgres/admin");
      // Here initdb works, and a server spends its starting moments.
      await endOrphans({ folder: home, programs: ["postgres", "initdb"], signal: "SIGINT", clock, log });
      await makeCluster(home, deps.binaries(), password);
      await server.start();
    },
    stop: () => server.stop(),
  };
}

/** Makes the server's folder, or gives it to the account that runs the server, which may have been another one. */
async function makeHome(home: string, user: SystemUser | undefined): Promise<void> {
  if (user !== undefined) await giveTree(home, user);
  await makeFolder(home, 0o700, user);
  if (user !== undefined) await checkWay(dirname(home), user);
}

/** Rejects with a `SetupError` when the account that PostgreSQL runs as cannot reach the data folder. */
async function checkWay(path: string, user: SystemUser): Promise<void> {
  const closed = await closedFolder(path);
  if (closed === undefined) return;
  throw new SetupError(
    `PostgreSQL runs as the user "${user.name}", which cannot enter ${closed}. ` +
      `Choose another data folder with --data-dir, or allow it: chmod o+x ${closed}`,
  );
}

/** Makes the cluster in `<home>/data` unless it is there. */
async function makeCluster(home: string, binaries: PostgresBinaries, password: string): Promise<void> {
  const data = join(home, "data");
  if (await exists(data)) return checkVersion(data, binaries);
  const fresh = join(home, "fresh");
  await rm(fresh, { recursive: true, force: true }); // Left by a start that was interrupted.
  await makeFolder(fresh, 0o700, binaries.user);
  await initCluster(binaries, fresh, password);
  await rename(join(fresh, "data"), data); // A cluster is complete or absent.
  await rm(fresh, { recursive: true, force: true });
}

async function checkVersion(data: string, binaries: PostgresBinaries): Promise<void> {
  const ofData = (await readFile(join(data, "PG_VERSION"), "utf8")).trim();
  if (ofData === binaries.version.split(".")[0]) return;
  throw new SetupError(
    `${data} was made by PostgreSQL ${ofData}, but ${binaries.postgres} is PostgreSQL ${binaries.version}. ` +
      `Set POSTGRES_BIN to the bin folder of a PostgreSQL ${ofData}.`,
  );
}
