import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { totalmem } from "node:os";
import { basename, join } from "node:path";
import { Redis } from "ioredis";
import type { Component } from "../lifecycle/component.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import type { Logger } from "../telemetry/logger.ts";
import { replyCode } from "../redis/driver-errors.ts";
import type { DataFolder } from "./data-folder.ts";
import { exists, makeFolder, replaceFile } from "./files.ts";
import { freePort } from "./free-port.ts";
import { endOrphans } from "./orphans.ts";
import type { RedisBinary } from "./redis-binary.ts";
import { isAtLeast } from "./server-version.ts";
import { SetupError } from "./setup-error.ts";
import { createSupervisedProcess, type ProcessStatus, type SupervisedProcess } from "./supervised-process.ts";

/** Users of our own on every server: to look after it, and for replicas to follow it. Services cannot have these names. */
const supervisorUser = "supervisor";
const replicationUser = "replication";

/** Beside the data: the version of the server that wrote them. */
const versionFile = "redis-version";
/** Memory of a server that keeps nothing, in bytes; beyond it what was used least recently is dropped. */
const cacheBytesMax = 128 * 1024 * 1024;
/** Time for a probe to connect and to answer. */
const probeMsMax = 2000;
/**
 * Time for a clean end, fsync included, after each of the signals. Redis forgets a signal that comes while it writes a first
 * append-only file, hence more than one.
 */
const stopMsMax = 1000;
const stopSignals = ["SIGTERM", "SIGTERM", "SIGTERM", "SIGTERM"] as const;

/** A Redis server of its own process. */
export interface RedisServerSpec {
  /** Such as "counts"; becomes a folder's name. */
  readonly name: string;
  /**
   * True: every write is on disk before its reply; a replica keeps what its primary has, in memory. False: nothing is kept, memory is bounded and
   * evicted.
   */
  readonly durable: boolean;
  /**
   * Of a durable primary: memory for its data in bytes, beyond which writes are refused and nothing is dropped. Default: half of what
   * this machine, or the container around this process, has.
   */
  readonly memoryBytesMax?: number | undefined;
  /** Name of the server it follows as a read-only replica; `undefined` for a primary. */
  readonly replicaOf?: string | undefined;
  /** Who may do what; nobody else may do anything. */
  readonly users: readonly RedisUserSpec[];
}

/** A user of a Redis server. */
export interface RedisUserSpec {
  readonly name: string;
  /** Rules as `ACL SETUSER` takes them, "on" included, without password. */
  readonly rules: readonly string[];
}

/** A supervised Redis server on loopback. */
export interface RedisServer extends Component {
  readonly name: string;
  /** Port; known once it was started, the same until the data folder is removed unless another program took it. */
  port(): number;
  /** Such as "8.10.2"; known once it was started. */
  version(): string;
  /** `redis://user:password@127.0.0.1:port` of a user of the specification. */
  url(user: string): string;
  status(): ProcessStatus;
  /** As of `SupervisedProcess`. */
  abandon(): void;
}

/** What it takes to run Redis servers. */
export interface RedisServerDeps {
  readonly folder: DataFolder;
  /** The program; asked for at every start. */
  readonly binary: () => RedisBinary;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/**
 * A Redis server in the folder redis/<name> of the data folder, kept running from `start` to `stop`. Passwords are generated
 * and kept; they stand in files that only their owner reads, never in arguments. A replica must start after its primary. Rejects with a
 * `SetupError` when a newer server wrote the data.
 */
export function createRedisServer(
  spec: RedisServerSpec,
  deps: RedisServerDeps,
  primary: RedisServer | undefined,
): RedisServer {
  const { folder, clock, random, log } = deps;
  const name = `redis ${spec.name}`;
  const home = join(folder.path, "redis", spec.name);
  const key = `redis/${spec.name}`;
  const passwords = new Map<string, string>();
  let port = 0;

  const url = (user: string): string => {
    const password = passwords.get(user);
    if (password === undefined) throw new Error(`${name} has no user "${user}", or was not started`);
    return `redis://${encodeURIComponent(user)}:${password}@127.0.0.1:${port}`;
  };

  const prepare = async (again: boolean) => {
    if (!again) {
      // Services hold the address from the first answer on, so only a first start may move it.
      port = await freePort(random, folder.port(key));
      if (folder.port(key) !== port) await folder.setPort(key, port);
    }
    await replaceFile(join(home, "users.acl"), aclFile(spec, passwords), { mode: 0o600 });
    const replication = spec.replicaOf === undefined ? undefined : await follow(primary, folder);
    await replaceFile(join(home, "redis.conf"), configFile(spec, home, port, replication), { mode: 0o600 });
    return {
      argv: [deps.binary().server, join(home, "redis.conf")],
      folder: home,
      env: { PATH: "/usr/bin:/bin", LC_ALL: "C", TZ: "UTC" },
      user: undefined,
    };
  };

  const server: SupervisedProcess = createSupervisedProcess({
    name,
    prepare,
    probe: () => ping(url(supervisorUser)),
    isProgress: (error) => replyCode(error) === "LOADING",
    logFile: join(home, "server.log"),
    stopSignals,
    stopMsMax,
    clock,
    random,
    log,
  });
  return {
    name,
    port: () => port,
    version: () => deps.binary().version,
    url,
    status: () => server.status(),
    abandon: () => server.abandon(),
    start: async () => {
      await makeFolder(join(folder.path, "redis"), 0o700);
      await makeFolder(home, 0o700);
      if (spec.durable && spec.replicaOf === undefined) await stampVersion(home, deps.binary());
      const users = [supervisorUser, replicationUser, ...spec.users.map((user) => user.name)];
      const secrets = await Promise.all(users.map((user) => folder.secret(secretName(spec.name, user))));
      for (const [index, user] of users.entries()) passwords.set(user, secrets[index] ?? "");
      await endOrphans({
        folder: home,
        programs: ["redis-server", basename(deps.binary().server)],
        signal: "SIGTERM",
        clock,
        log,
      });
      await server.start();
    },
    stop: () => server.stop(),
  };
}

/** The data carry the version of the newest server that wrote them: an older one may not be able to read them. */
async function stampVersion(home: string, { server, version }: RedisBinary): Promise<void> {
  const path = join(home, versionFile);
  const written = (await exists(path)) ? (await readFile(path, "utf8")).trim() : undefined;
  if (written === version) return;
  if (written !== undefined && !isAtLeast(version, written)) {
    throw new SetupError(
      `${home} was written by Redis ${written}, but ${server} is Redis ${version}. ` +
        `Set REDIS_SERVER to the path of a redis-server of ${written} or later.`,
    );
  }
  await replaceFile(path, `${version}\n`, { mode: 0o600 });
}

interface Replication {
  readonly port: number;
  readonly password: string;
}

async function follow(primary: RedisServer | undefined, folder: DataFolder): Promise<Replication> {
  if (primary === undefined) throw new Error("a replica needs its primary");
  const primaryName = primary.name.replace(/^redis /, "");
  return { port: primary.port(), password: await folder.secret(secretName(primaryName, replicationUser)) };
}

function secretName(server: string, user: string): string {
  return `redis/${server}/${user}`;
}

/** The users of a server. Passwords stand as their SHA-256, as Redis itself keeps them. */
function aclFile(spec: RedisServerSpec, passwords: ReadonlyMap<string, string>): string {
  const line = (user: string, rules: readonly string[]): string => {
    const hash = createHash("sha256")
      .update(passwords.get(user) ?? "")
      .digest("hex");
    return `user ${user} reset ${rules.join(" ")} #${hash}`;
  };
  return `${[
    "user default reset off",
    line(supervisorUser, ["on", "-@all", "+ping", "+info", "+hello", "+client"]),
    line(replicationUser, ["on", "-@all", "+psync", "+replconf", "+ping"]),
    ...spec.users.map((user) => line(user.name, user.rules)),
  ].join("\n")}\n`;
}

function configFile(spec: RedisServerSpec, home: string, port: number, replication: Replication | undefined): string {
  const keep = spec.durable
    ? // A replica gets everything from its primary when it starts; a file of its own would only be thrown away. It ignores a bound.
      [
        `appendonly ${replication === undefined ? "yes" : "no"}`,
        "appendfsync always",
        `maxmemory ${spec.memoryBytesMax ?? Math.floor(memoryBytes() / 2)}`,
        "maxmemory-policy noeviction",
      ]
    : ["appendonly no", `maxmemory ${cacheBytesMax}`, "maxmemory-policy allkeys-lru"];
  const following =
    replication === undefined
      ? []
      : [
          `replicaof 127.0.0.1 ${replication.port}`,
          `masteruser ${replicationUser}`,
          `masterauth ${replication.password}`,
          "replica-read-only yes",
        ];
  return `${[
    "bind 127.0.0.1",
    `port ${port}`,
    "protected-mode yes",
    "databases 1",
    `dir ${quote(home)}`,
    `aclfile ${quote(join(home, "users.acl"))}`,
    "daemonize no",
    'save ""', // Snapshots would only repeat what the append-only file has.
    ...keep,
    "lazyfree-lazy-expire yes",
    "lazyfree-lazy-server-del yes",
    "repl-diskless-sync-delay 0",
    "shutdown-timeout 1", // A replica that lags must not hold up the stop: it will follow again.
    ...following,
  ].join("\n")}\n`;
}

/** Memory of this machine, or of the container around this process, in bytes. */
function memoryBytes(): number {
  const constrained = process.constrainedMemory();
  return constrained > 0 ? Math.min(constrained, totalmem()) : totalmem();
}

/** A value of redis.conf, in which a space would end it. */
function quote(value: string): string {
  return `"${value.replaceAll(/["\\]/g, "\\$&")}"`;
}

async function ping(url: string): Promise<void> {
  const client = new Redis(url, {
    lazyConnect: true,
    connectTimeout: probeMsMax,
    commandTimeout: probeMsMax,
    maxRetriesPerRequest: 0,
    retryStrategy: () => null,
    enableReadyCheck: false, // A server that loads its data is to say so to the question, not to be waited for here.
  });
  client.on("error", () => undefined); // The rejected call carries the error.
  try {
    await client.connect();
    await client.ping();
  } finally {
    client.disconnect();
  }
}
