import { mkdir, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { join, resolve } from "node:path";
import type { Component } from "../lifecycle/component.ts";
import type { Random } from "../clock/random.ts";
import { exists, readJson, replaceFile } from "./files.ts";
import { takeFileLock, type FileLock } from "./file-lock.ts";
import { openKeptValues, type KeptValues } from "./kept-values.ts";
import { startTicks } from "./processes.ts";
import { SetupError } from "./setup-error.ts";

/** Bytes of a generated secret: 192 bits. */
const secretBytes = 24;
/** Where root's data lies: PostgreSQL runs as an account that cannot enter root's home. */
const rootFolder = "/var/lib/muin";

/** Where services keep what they keep in folders of their own. */
export const serviceFolders = "services";

/** What a running Muin says of itself in its data folder, for whoever wants to talk to it. */
export interface RunRecord {
  readonly pid: number;
  /** Start of the process in clock ticks after the boot: tells it from a later one with the same pid. */
  readonly startTicks: string;
  /** Base URLs, such as "http://127.0.0.1:8080"; absent until it serves. */
  readonly http?: string;
  readonly grpc?: string;
  readonly operator?: string;
  /** Who signed the certificate that it serves with, when it made that itself: a file in PEM. */
  readonly caFile?: string;
}

/**
 * Secrets that the setups of services made for the programs of this installation, by name, as `credentials.json` has them:
 * `api_key`, the demo key while it is live, `operator_key`, with which the command line calls, and `admin_password`, with which the first
 * administrator begins, unless `MUIN_ADMIN_PASSWORD` said it.
 */
export type Credentials = Readonly<Record<string, string>>;

/**
 * A data folder in use by this process.
 *
 *     <path>/
 *       lock               locked by the running Muin, as `takeFileLock` does
 *       run.json           its RunRecord
 *       credentials.json   keys for people and for the command line
 *       secrets.json       generated passwords and keys, by name
 *       ports.json         ports of the stores, by name
 *       tls/               issuer and certificate that Muin made itself: ca.pem, ca-key.pem, cert.pem, key.pem
 *       redis/<server>/    data, redis.conf, users.acl and server.log of one Redis server
 *       postgres/          data/ and server.log of the PostgreSQL cluster
 *       services/<service>/<store>/   what a service keeps in a folder of its own
 *
 * Whoever is not the owner reads none of it. A folder that root's Muin makes may be passed through (mode 0711), so that the
 * account which PostgreSQL runs as reaches postgres/, which is its own.
 */
export interface DataFolder extends Component {
  /** Absolute path. */
  readonly path: string;
  /** The secret of that name: 32 letters, digits, "-" and "_", generated at first and the same ever after. */
  secret(name: string): Promise<string>;
  /** Absolute path of a folder that a service keeps for itself, named `<service>/<store>`. Whoever holds it makes it. */
  serviceFolder(name: string): string;
  /** Remembered ports of the stores. */
  port(name: string): number | undefined;
  setPort(name: string, port: number): Promise<void>;
  /** Tells others where this Muin serves. */
  announce(
    addresses: Pick<RunRecord, "caFile"> & Required<Pick<RunRecord, "http" | "grpc" | "operator">>,
  ): Promise<void>;
  /** Absolute path of the file that `saveCredentials` writes. */
  readonly credentialsFile: string;
  /** Keeps the keys, durably. */
  saveCredentials(credentials: Credentials): Promise<void>;
  readCredentials(): Promise<Credentials | undefined>;
}

/**
 * Where Muin's data lies unless told otherwise: `muin` in `XDG_DATA_HOME` (default `~/.local/share`); for root /var/lib/muin,
 * unless `XDG_DATA_HOME` is set.
 */
export function defaultDataPath(env: Readonly<Record<string, string | undefined>>): string {
  const preset = env["XDG_DATA_HOME"];
  if (preset !== undefined && preset.startsWith("/")) return join(preset, "muin"); // A relative path is invalid there.
  if (process.getuid?.() === 0) return rootFolder;
  return join(env["HOME"] ?? homedir(), ".local", "share", "muin");
}

/**
 * The data folder at `path`. `start` makes it when absent and takes its lock; it rejects with a `SetupError` that names the
 * process which holds it. `stop` lets go of it. The other methods work in between.
 */
export function createDataFolder(options: { readonly path: string; readonly random: Random }): DataFolder {
  const path = resolve(options.path);
  let lock: FileLock | undefined;
  let secrets: KeptValues<string> | undefined;
  let ports: KeptValues<number> | undefined;
  const runFile = join(path, "run.json");
  const credentialsFile = join(path, "credentials.json");
  const opened = <T>(value: T | undefined): T => {
    if (value === undefined) throw new Error(`the data folder ${path} is not open`);
    return value;
  };
  const writeRunRecord = async (addresses: Partial<RunRecord>): Promise<void> => {
    const record: RunRecord = { pid: process.pid, startTicks: (await startTicks(process.pid)) ?? "", ...addresses };
    await replaceFile(runFile, `${JSON.stringify(record)}\n`, { mode: 0o600 });
  };
  return {
    name: "data folder",
    path,
    credentialsFile,
    start: async () => {
      // One that was there keeps its mode: it may be a mount point or hold other things.
      await makeDataFolder(path, process.getuid?.() === 0 ? 0o711 : 0o700);
      lock = await takeDataLock(path);
      await writeRunRecord({});
      if (!(await exists(join(path, "secrets.json"))) && (await exists(join(path, "postgres", "data")))) {
        throw new SetupError(
          `${join(path, "secrets.json")} is missing: without it the data in ${path} cannot be opened.`,
        );
      }
      secrets = await openKeptValues(join(path, "secrets.json"));
      ports = await openKeptValues(join(path, "ports.json"));
    },
    stop: async () => {
      if (lock === undefined) return;
      await rm(runFile, { force: true });
      lock.release();
      lock = undefined;
    },
    secret: async (name) => {
      const kept = opened(secrets);
      const known = kept.get(name);
      if (known !== undefined) return known;
      const value = Buffer.from(options.random.bytes(secretBytes)).toString("base64url");
      await kept.set(name, value);
      return value;
    },
    serviceFolder: (name) => join(path, serviceFolders, name),
    port: (name) => opened(ports).get(name),
    setPort: (name, port) => opened(ports).set(name, port),
    announce: writeRunRecord,
    saveCredentials: (credentials) =>
      replaceFile(credentialsFile, `${JSON.stringify(credentials, undefined, 2)}\n`, { mode: 0o600 }),
    readCredentials: () => readCredentials(path),
  };
}

/** Makes the folder at `path`, and those above, unless they are there. Rejects with a `SetupError` that says why it cannot. */
export async function makeDataFolder(path: string, mode: number): Promise<void> {
  await mkdir(path, { recursive: true, mode }).catch((error: unknown) => {
    const why = error instanceof Error ? error.message : String(error);
    throw new SetupError(
      `The data folder ${path} cannot be made (${why}). Choose another with --data-dir, or let Muin's user make it.`,
    );
  });
}

/** Takes the lock of the data folder at `path`. Rejects with a `SetupError` that names the process which holds it. */
export async function takeDataLock(path: string): Promise<FileLock> {
  const lock = takeFileLock(join(path, "lock"));
  if (lock !== undefined) return lock;
  const holder = await readJson<RunRecord>(join(path, "run.json"));
  throw new SetupError(
    `Muin is already running on the data folder ${path}${holder === undefined ? "" : ` (process ${holder.pid})`}. ` +
      `Stop it first, or choose another folder with --data-dir.`,
  );
}

/** The Muin that runs on the data folder at `path` now; `undefined` when none does. What a killed one left does not count. */
export async function readRunRecord(path: string): Promise<RunRecord | undefined> {
  const record = await readJson<RunRecord>(join(path, "run.json"));
  if (record === undefined || (await startTicks(record.pid)) !== record.startTicks) return undefined;
  return record;
}

/** The keys kept in the data folder at `path`; `undefined` before the first `muin up`. */
export function readCredentials(path: string): Promise<Credentials | undefined> {
  return readJson<Credentials>(join(path, "credentials.json"));
}
