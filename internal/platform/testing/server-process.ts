import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { systemRandom } from "../clock/random.ts";
import { freePort } from "../local/free-port.ts";
import type { SystemUser } from "../local/system-user.ts";
import { eventually } from "./eventually.ts";
import { untilEnded, type ServerFolder } from "./server-folder.ts";

/** Attempts at a free port: another process can take one between asking for it and listening on it. */
const portAttemptsMax = 5;
/** Time for a server to answer after it was started, crash recovery included, on a busy machine. */
const readyMsMax = 20_000;

/** A server process on loopback that a test may kill and start again. */
export interface ServerProcess extends AsyncDisposable {
  /** Stays the same over restarts. */
  readonly port: number;
  /** Process id of the server that runs now. */
  readonly pid: number;
  /** Sends a signal; resolves when the process and all its children have ended, at once for SIGSTOP and SIGCONT. */
  kill(signal: NodeJS.Signals): Promise<void>;
  /** Starts it again on the same port and data; one that runs is shut down first. Resolves when it answers. */
  restart(): Promise<void>;
  /** Ends it and removes its data. Idempotent. */
  stop(): Promise<void>;
}

/** What runs. */
export interface ServerProcessOptions {
  readonly name: string;
  /** Its working directory and data; removed with it. */
  readonly folder: ServerFolder;
  /** Makes ready for a start on `port`, and says the command. */
  readonly prepare: (port: number) => Promise<readonly string[]>;
  readonly env?: Readonly<Record<string, string | undefined>>;
  /** Account to run as; `undefined`: ours. */
  readonly user?: SystemUser | undefined;
  /** Resolves when it answers on `port`. */
  readonly probe: (port: number) => Promise<void>;
  /** Asks for a clean end. */
  readonly endSignal: NodeJS.Signals;
  /** Ends it when its data are not needed any more. */
  readonly stopSignal: NodeJS.Signals;
}

/** Starts a server on a free port; resolves when it answers. */
export async function startServerProcess(options: ServerProcessOptions): Promise<ServerProcess> {
  const { name, folder, user } = options;
  const logFile = join(folder.path, "server.log");
  let port = 0;
  let child: Bun.Subprocess | undefined;
  let stopped: Promise<void> | undefined;

  const launch = async (): Promise<void> => {
    const command = await options.prepare(port);
    const log = await open(logFile, "a");
    const started = Bun.spawn([...command], {
      cwd: folder.path,
      stdin: "ignore",
      stdout: log.fd,
      stderr: log.fd,
      detached: true,
      ...(options.env === undefined ? {} : { env: options.env }),
      ...(user === undefined ? {} : { uid: user.uid, gid: user.gid }),
    });
    child = started;
    await log.close();
    const hasEnded = (): boolean => started.exitCode !== null || started.signalCode !== null;
    await eventually(() => options.probe(port), { timeoutMs: readyMsMax, unless: hasEnded });
    if (hasEnded()) throw new Error(`${name} ended at once`); // Another server answered.
  };
  const end = async (signal: NodeJS.Signals): Promise<void> => {
    if (child === undefined) return;
    child.kill("SIGCONT"); // A stopped process would not see another signal.
    child.kill(signal);
    await child.exited;
    // Children see a little later that their parent is gone, and still answer until then.
    await untilEnded(folder.path);
  };

  for (let attempt = 1; ; attempt += 1) {
    port = await freePort(systemRandom);
    try {
      await launch();
      break;
    } catch (error) {
      await end("SIGKILL");
      const log = await readFile(logFile, "utf8").catch(() => "");
      if (attempt < portAttemptsMax && log.includes("Address already in use")) continue;
      await folder.remove();
      throw new Error(`the test's ${name} did not start:\n${log}`, { cause: error });
    }
  }
  const stop = (): Promise<void> => (stopped ??= end(options.stopSignal).then(() => folder.remove()));
  return {
    port,
    get pid() {
      return child?.pid ?? 0;
    },
    kill: async (signal) => {
      if (signal !== "SIGSTOP" && signal !== "SIGCONT") await end(signal);
      else child?.kill(signal);
    },
    restart: async () => {
      await end(options.endSignal);
      await launch();
    },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}
