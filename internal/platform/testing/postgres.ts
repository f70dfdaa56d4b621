import { chown, readFile } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import { systemRandom } from "../clock/random.ts";
import { freePort } from "../local/free-port.ts";
import { initCluster, postgresAdmin, postgresEnv } from "../local/init-cluster.ts";
import { providePostgres, type PostgresBinaries } from "../local/postgres-binaries.ts";
import { eventually } from "./eventually.ts";
import { createServerFolder } from "./server-folder.ts";

/** Attempts at a free port: another process can take one between asking for it and listening on it. */
const portAttemptsMax = 5;
/** Time for a server to answer after it was started, crash recovery included, on a busy machine. */
const readyMsMax = 20_000;

const serverSettings = [
  ["-c", "listen_addresses=127.0.0.1"],
  ["-c", "unix_socket_directories="],
  ["-c", "fsync=off"],
  ["-c", "synchronous_commit=on"],
  ["-c", "max_connections=200"],
].flat();

/**
 * A real PostgreSQL on loopback with a cluster of its own. `fsync` is off: the operating system keeps what was written when
 * a process is killed, and tests do not cut the power.
 */
export interface TestPostgres extends AsyncDisposable {
  /** Database "postgres" as the superuser. */
  readonly adminUrl: string;
  /** Stays the same over restarts. */
  readonly port: number;
  /** Process id of the postmaster that runs now. */
  readonly pid: number;
  /** Makes an empty database owned by a role of its own (no superuser) and returns that role's URL of it. */
  createDatabase(name?: string): Promise<string>;
  /** Sends a signal to the postmaster; resolves when it has ended, at once for SIGSTOP and SIGCONT. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and data; one that runs is shut down first. Resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
}

/** Starts a PostgreSQL server; resolves when it answers. */
export async function startPostgres(): Promise<TestPostgres> {
  const binaries = await providePostgres({ env: process.env });
  const { path: cluster, password } = await (template ??= createTemplate(binaries));
  const folder = await createServerFolder("postgres");
  const data = join(folder.path, "data");
  const logFile = join(folder.path, "postgres.log");
  if (binaries.user !== undefined) await chown(folder.path, binaries.user.uid, binaries.user.gid);
  await run(["cp", "-a", cluster, data]);
  let port = 0;
  let child: Bun.Subprocess | undefined;
  let stopped: Promise<void> | undefined;
  let databases = 0;
  const url = (role: string, secret: string, database: string): string =>
    `postgres://${role}:${secret}@127.0.0.1:${port}/${database}`;

  const launch = async (): Promise<void> => {
    const started = Bun.spawn([binaries.postgres, "-D", data, "-p", `${port}`, ...serverSettings], {
      cwd: folder.path,
      env: postgresEnv,
      stdin: "ignore",
      stdout: Bun.file(logFile),
      stderr: Bun.file(logFile),
      detached: true,
      ...(binaries.user === undefined ? {} : { uid: binaries.user.uid, gid: binaries.user.gid }),
    });
    child = started;
    await untilReady(url(postgresAdmin, password, "postgres"), started);
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined) return;
    child.kill("SIGCONT"); // A stopped process would not see another signal.
    child.kill(signal);
    await child.exited;
  };

  for (let attempt = 1; ; attempt += 1) {
    port = await freePort(systemRandom);
    try {
      await launch();
      break;
    } catch (error) {
      const log = await readFile(logFile, "utf8").catch(() => "");
      await end("SIGKILL");
      if (attempt < portAttemptsMax && log.includes("Address already in use")) continue;
      await folder.remove();
      throw new Error(`the test's PostgreSQL did not start:\n${log}`, { cause: error });
    }
  }
  // SIGINT is PostgreSQL's fast shutdown; SIGKILL would leave its children running for a moment.
  const stop = (): Promise<void> => (stopped ??= end("SIGINT").then(() => folder.remove()));
  return {
    adminUrl: url(postgresAdmin, password, "postgres"),
    port,
    get pid() {
      return child?.pid ?? 0;
    },
    createDatabase: async (name) => {
      databases += 1;
      const database = name ?? `test_${databases}`;
      const role = `${database}_owner`;
      const secret = crypto.randomUUID();
      const sql = postgres(url(postgresAdmin, password, "postgres"), { max: 1, onnotice: () => undefined });
      try {
        await sql.unsafe(`CREATE ROLE "${role}" LOGIN PASSWORD '${secret}'`);
        await sql.unsafe(`CREATE DATABASE "${database}" OWNER "${role}"`);
      } finally {
        await sql.end();
      }
      return url(role, secret, database);
    },
    kill: async (signal) => {
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await end(signal);
      else child?.kill(signal);
    },
    restart: async () => {
      await end("SIGINT");
      await launch();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

let shared: Promise<TestPostgres> | undefined;

/** The one PostgreSQL of this test process, started on first use; it ends with the process. Make databases of your own. */
export function sharedPostgres(): Promise<TestPostgres> {
  return (shared ??= startPostgres());
}

interface Template {
  readonly path: string;
  readonly password: string;
}

/** An empty cluster, made once per test process and copied: faster than initdb. */
let template: Promise<Template> | undefined;

async function createTemplate(binaries: PostgresBinaries): Promise<Template> {
  const folder = await createServerFolder("postgres-template");
  if (binaries.user !== undefined) await chown(folder.path, binaries.user.uid, binaries.user.gid);
  const password = crypto.randomUUID();
  await initCluster(binaries, folder.path, password, ["--no-sync", "--wal-segsize=1"]);
  return { path: join(folder.path, "data"), password };
}

async function run(command: string[]): Promise<void> {
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "inherit" });
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed`);
}

async function untilReady(url: string, child: Bun.Subprocess): Promise<void> {
  await eventually(
    async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const sql = postgres(url, { max: 1, onnotice: () => undefined });
      try {
        await sql`SELECT 1`;
      } finally {
        await sql.end({ timeout: 1 });
      }
    },
    { timeoutMs: readyMsMax },
  );
  if (child.exitCode !== null || child.signalCode !== null) throw new Error("postgres ended at once");
}
