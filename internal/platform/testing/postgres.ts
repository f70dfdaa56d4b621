import { chown, rm } from "node:fs/promises";
import { join } from "node:path";
import postgres from "postgres";
import { initCluster, postgresAdmin, postgresEnv } from "../local/init-cluster.ts";
import { providePostgres, type PostgresBinaries } from "../local/postgres-binaries.ts";
import { createServerFolder } from "./server-folder.ts";
import { startServerProcess, type ServerProcess } from "./server-process.ts";

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
export interface TestPostgres extends ServerProcess {
  /** Database "postgres" as the superuser. */
  readonly adminUrl: string;
  /** Makes an empty database owned by a role of its own (no superuser) and returns that role's URL of it. */
  createDatabase(name?: string): Promise<string>;
}

/** Starts a PostgreSQL server; resolves when it answers. */
export async function startPostgres(): Promise<TestPostgres> {
  const binaries = await providePostgres({ env: process.env });
  const { path: cluster, password } = await (template ??= createTemplate(binaries));
  const folder = await createServerFolder("postgres");
  const data = join(folder.path, "data");
  await run(["cp", "-a", cluster, data]);
  const server = await startServerProcess({
    name: "PostgreSQL",
    folder,
    prepare: async (port) => {
      // Nothing of it runs; a pid that another process has by now would stop the start.
      await rm(join(data, "postmaster.pid"), { force: true });
      return [binaries.postgres, "-D", data, "-p", `${port}`, ...serverSettings];
    },
    env: postgresEnv,
    user: binaries.user,
    probe: (port) => select(urlOf(port, postgresAdmin, password, "postgres")),
    endSignal: "SIGINT", // Its fast shutdown.
    stopSignal: "SIGINT", // After SIGKILL its shared memory would be left.
  });
  const adminUrl = urlOf(server.port, postgresAdmin, password, "postgres");
  let databases = 0;
  return Object.assign(server, {
    adminUrl,
    createDatabase: async (name?: string) => {
      databases += 1;
      const database = name ?? `test_${databases}`;
      const role = `${database}_owner`;
      const secret = crypto.randomUUID();
      const sql = postgres(adminUrl, { max: 1, onnotice: () => undefined });
      try {
        await sql.unsafe(`CREATE ROLE "${role}" LOGIN PASSWORD '${secret}'`);
        await sql.unsafe(`CREATE DATABASE "${database}" OWNER "${role}"`);
      } finally {
        await sql.end();
      }
      return urlOf(server.port, role, secret, database);
    },
  });
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

function urlOf(port: number, role: string, secret: string, database: string): string {
  return `postgres://${role}:${secret}@127.0.0.1:${port}/${database}`;
}

async function select(url: string): Promise<void> {
  const sql = postgres(url, { max: 1, onnotice: () => undefined });
  try {
    await sql`SELECT 1`;
  } finally {
    await sql.end({ timeout: 1 });
  }
}
