import { chmod, mkdir } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import { createClient, type Client } from "@connectrpc/connect";
import { createFetchClient } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import postgres from "postgres";
import { readCredentials } from "../local/data-folder.ts";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { CredentialService } from "../../gen/muin/identity/v1/credential_service_pb.ts";
import { eventually } from "./eventually.ts";
import { openMailbox, roomForSignUps, signUp, type Mailbox, type SignedUp } from "./sign-up.ts";
import { createServerFolder, processesIn, type FolderProcess, type ServerFolder } from "./server-folder.ts";

const root = resolve(import.meta.dir, "../../..");
/** Time until a started Muin is ready, on a busy machine. */
const readyMsMax = 40_000;
/** Time until a process that was told to end has ended: five times what is promised. */
const endMsMax = 50_000;
/** Of a program's standard error, an error shows so many characters. */
const shownCharsMax = 4000;

/** How a program ended, and everything it wrote. */
interface Ended {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A process of a program. */
export interface TestProgram extends AsyncDisposable {
  readonly pid: number;
  readonly ended: Promise<Ended>;
  /** Everything it wrote so far. */
  stdout(): string;
  stderr(): string;
  /** Resolves once standard output or error has shown this text; rejects when it ended without. */
  shows(text: string): Promise<void>;
  signal(name: NodeJS.Signals): void;
  /** Ends it by SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Ends it by SIGTERM and says how it ended and how long that took. */
  stop(): Promise<Ended & { readonly tookMs: number }>;
}

/** A folder for the data of a Muin that is started there again and again. */
export interface MuinFolder extends AsyncDisposable {
  /** For `--data-dir`; made by the first start. */
  readonly dataDir: string;
  /** Where programs may be started: what runs here is ended at the latest with the test process. */
  readonly path: string;
  /** The servers that run on the data now. */
  processes(): Promise<readonly FolderProcess[]>;
  /** The process id of a server, such as "redis/counts" or "postgres/data"; throws when there is none. */
  store(name: string): Promise<number>;
}

/** How a test wants its Muin. */
export interface MuinOptions {
  /** What runs: `cmd/muin/main.ts`, or the binary compiled from it. Default "sources". */
  readonly from?: "sources" | "binary";
  /** Checkout whose sources run. Default: this one. */
  readonly checkout?: string;
  /** Data that outlives the process. Default: a folder that goes with it. */
  readonly folder?: MuinFolder;
  readonly env?: Readonly<Record<string, string>>;
  /** Further arguments of `up`; they win over the ports, which are 0. */
  readonly args?: readonly string[];
  /** A command that runs the command after it, such as `["setpriv", "--reuid", "65534"]`. */
  readonly wrapper?: readonly string[];
}

/** A running Muin in a process of its own. */
export interface TestMuin extends TestProgram {
  /** Base URL of the HTTP port. */
  readonly http: string;
  /** "host:port" of the gRPC port. */
  readonly grpc: string;
  /** Base URL of the operator port: status page and metrics. */
  readonly operator: string;
  /** Demo key. */
  readonly apiKey: string;
  /** Key with all scopes. */
  readonly operatorKey: string;
  readonly folder: MuinFolder;
  readonly dataDir: string;
  /** From the start of the process to the line that says it is ready. */
  readonly startupMs: number;
  /** What `up --json` printed. */
  readonly facts: Readonly<Record<string, unknown>>;
  /** Its mails. */
  readonly mailbox: Mailbox;
  /** Signs somebody up and verifies their address by the mail. */
  signUp(account: Parameters<typeof signUp>[0]): Promise<SignedUp>;
  /** A client over Connect with binary messages; `key` is the operator key unless told otherwise. */
  client<S extends DescService>(service: S, key?: string): Client<S>;
  /** Begins a command of the command line, which finds this Muin by its data. */
  begin(args: readonly string[], options?: Omit<ProgramOptions, "cwd">): TestProgram;
  /** Runs a command to its end. */
  run(...args: readonly string[]): Promise<Ended>;
  /** What a command prints with `--json`, by line; it must succeed. */
  rows(...args: readonly string[]): Promise<Record<string, unknown>[]>;
  /** A database of its PostgreSQL, as the account that owns the tables of a service. */
  openTables(database: string, account: `${string}_schema`): Promise<postgres.Sql>;
}

/** Makes a folder for the data of a Muin. */
export async function createMuinFolder(): Promise<MuinFolder> {
  const folder = await createServerFolder("muin");
  const dataDir = join(folder.path, "data");
  const processes = (): Promise<readonly FolderProcess[]> => processesIn(dataDir);
  return {
    dataDir,
    path: folder.path,
    processes,
    store: async (name) => {
      const found = (await processes()).find((process) => process.name === name && process.main);
      if (found === undefined) throw new Error(`no ${name} runs on ${dataDir}`);
      return found.pid;
    },
    [Symbol.asyncDispose]: () => folder.remove(),
  };
}

/** Starts a Muin on free ports of the loopback; resolves when it is ready. */
export async function startMuin(options: MuinOptions = {}): Promise<TestMuin> {
  const folder = options.folder ?? (await createMuinFolder());
  const { dataDir } = folder;
  const ports = ["--http-port", "0", "--grpc-port", "0", "--operator-port", "0"];
  const muin = await muinCommand(options.from ?? "sources", options.checkout);
  const up = ["up", "--json", "--data-dir", dataDir, ...ports, ...(options.args ?? [])];
  const cwd = folder.path;
  const startedAt = performance.now();
  const env = { ...roomForSignUps, ...options.env };
  const program = runProgram([...(options.wrapper ?? []), ...muin, ...up], { cwd, env });
  try {
    const line = await firstLine(program);
    const startupMs = performance.now() - startedAt;
    const facts = JSON.parse(line) as { http: string; grpc: string; operator: string; api_key: string };
    // A wrapper may have mounted something there that only the process sees.
    const seen = options.wrapper === undefined ? dataDir : join(`/proc/${program.pid}/root`, dataDir);
    const credentials = await readCredentials(seen);
    if (credentials === undefined) throw new Error("there is no credentials.json");
    const operatorKey = credentials["operator_key"];
    if (operatorKey === undefined) throw new Error("credentials.json has no operator_key");
    const begin: TestMuin["begin"] = (args, { env, stdin } = {}) =>
      runProgram([...muin, ...args], {
        cwd,
        env: { MUIN_DATA_DIR: dataDir, ...env },
        ...(stdin === undefined ? {} : { stdin }),
      });
    const mailbox = openMailbox(join(dataDir, "mail"));
    const anybody = <S extends DescService>(service: S) => connectClient(service, facts.http, undefined);
    return {
      ...program,
      mailbox,
      signUp: (account) =>
        signUp(account, { auth: anybody(AuthService), credentials: anybody(CredentialService), mailbox }),
      http: facts.http,
      grpc: facts.grpc,
      operator: facts.operator,
      apiKey: facts.api_key,
      operatorKey,
      folder,
      dataDir,
      startupMs,
      facts,
      client: (service, key = operatorKey) => connectClient(service, facts.http, key),
      begin,
      run: (...args) => begin(args).ended,
      rows: async (...args) => {
        const { code, stdout, stderr } = await begin([...args, "--json"]).ended;
        if (code !== 0) throw failure(`muin ${args.join(" ")} exited with ${code}`, stderr);
        const lines = stdout.split("\n").filter((line) => line !== "");
        return lines.map((line) => JSON.parse(line) as Record<string, unknown>);
      },
      openTables: (database, account) => openTables(dataDir, database, account),
      [Symbol.asyncDispose]: async () => {
        await program[Symbol.asyncDispose]();
        if (options.folder === undefined) await folder[Symbol.asyncDispose]();
      },
    };
  } catch (error) {
    await program.kill();
    if (options.folder === undefined) await folder[Symbol.asyncDispose]();
    throw error;
  }
}

async function openTables(dataDir: string, database: string, account: string): Promise<postgres.Sql> {
  const secrets = (await Bun.file(join(dataDir, "secrets.json")).json()) as Record<string, string>;
  const ports = (await Bun.file(join(dataDir, "ports.json")).json()) as Record<string, number>;
  const password = secrets[`postgres/${account}`];
  const port = ports["postgres"];
  if (password === undefined || port === undefined) throw new Error(`${dataDir} knows no account ${account}`);
  const where = { host: "127.0.0.1", port, database, username: account, password };
  return postgres({ ...where, max: 1, onnotice: () => undefined });
}

/** The command that is `muin`: by the sources, or the binary, which is compiled once per test process. */
export async function muinCommand(from: "sources" | "binary", checkout: string = root): Promise<readonly string[]> {
  if (from === "binary") return [await binaryOf("muin")];
  return [process.execPath, "--no-env-file", join(checkout, "cmd/muin/main.ts")];
}

let binaryFolder: Promise<ServerFolder> | undefined;
const binaries = new Map<string, Promise<string>>();

/** Below the repository, where a binary finds PostgreSQL's package. */
async function createBinaryFolder(): Promise<ServerFolder> {
  const dist = join(root, "dist");
  await mkdir(dist, { recursive: true });
  return createServerFolder("binaries", dist);
}

/** Path of the binary of `cmd/<name>`, compiled once per test process and gone with it. */
export function binaryOf(name: string): Promise<string> {
  let binary = binaries.get(name);
  if (binary === undefined) {
    binaryFolder ??= createBinaryFolder();
    binary = binaryFolder.then(async ({ path }) => {
      await chmod(path, 0o755); // Any user may run them.
      const build = [process.execPath, join(root, "internal/tools/build.ts"), `--to=${path}`, name];
      const child = Bun.spawn(build, { stdio: ["ignore", "ignore", "inherit"] });
      if ((await child.exited) !== 0) throw new Error(`cmd/${name} could not be compiled`);
      return join(path, name);
    });
    binaries.set(name, binary);
  }
  return binary;
}

/** What a program is given. */
export interface ProgramOptions {
  readonly cwd: string;
  /** Beside the test's own environment, of which it gets no setting of Muin. */
  readonly env?: Readonly<Record<string, string>>;
  /** Its standard input. Default: closed. */
  readonly stdin?: string | Uint8Array<ArrayBuffer>;
}

/** Starts a program. */
export function runProgram(command: readonly string[], options: ProgramOptions): TestProgram {
  const inherited = Object.entries(process.env).filter(([name]) => !name.startsWith("MUIN_"));
  const child = Bun.spawn([...command], {
    cwd: options.cwd,
    env: { ...Object.fromEntries(inherited), NO_COLOR: "1", MUIN_LOG_LEVEL: "warn", ...options.env },
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
    stdout: "pipe",
    stderr: "pipe",
  });
  const stdout = collect(child.stdout);
  const stderr = collect(child.stderr);
  const ended = (async (): Promise<Ended> => {
    await Promise.all([child.exited, stdout.ended, stderr.ended]);
    const signal = child.signalCode as NodeJS.Signals | null;
    return { code: child.exitCode, signal, stdout: stdout.text(), stderr: stderr.text() };
  })();
  let isOver = false;
  void ended.then(() => (isOver = true));
  const gone = async (): Promise<Ended> => {
    const late = Promise.withResolvers<never>();
    const timer = setTimeout(() => {
      child.kill("SIGKILL");
      late.reject(failure("it did not end in time", stderr.text()));
    }, endMsMax);
    try {
      return await Promise.race([ended, late.promise]);
    } finally {
      clearTimeout(timer);
    }
  };
  const stop = async (): Promise<Ended & { readonly tookMs: number }> => {
    const askedAt = performance.now();
    child.kill("SIGCONT"); // A halted process would not see the next signal.
    child.kill("SIGTERM");
    return { ...(await gone()), tookMs: performance.now() - askedAt };
  };
  return {
    pid: child.pid,
    ended,
    stdout: () => stdout.text(),
    stderr: () => stderr.text(),
    shows: (text) =>
      eventually(
        () => {
          if (stdout.text().includes(text) || stderr.text().includes(text)) return;
          throw failure(`it has not shown ${JSON.stringify(text)}`, stderr.text());
        },
        { timeoutMs: readyMsMax, unless: () => isOver },
      ),
    signal: (name) => child.kill(name),
    kill: async () => {
      child.kill("SIGKILL");
      await gone();
    },
    stop,
    [Symbol.asyncDispose]: async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      const { code } = await stop();
      if (code !== 0) throw failure(`it ended with code ${code}`, stderr.text());
    },
  };
}

/** A client over Connect with binary messages. */
export function connectClient<S extends DescService>(service: S, url: string, key: string | undefined): Client<S> {
  const bytesMax = 64 << 20;
  const transport = createTransport({
    baseUrl: url,
    httpClient: createFetchClient(fetch),
    useBinaryFormat: true,
    interceptors: [
      (next) => (request) => {
        if (key !== undefined) request.header.set("authorization", `Bearer ${key}`);
        request.header.set("accept-encoding", "identity"); // Otherwise fetch undoes compression that the library then looks for.
        return next(request);
      },
    ],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: bytesMax,
    writeMaxBytes: bytesMax,
  });
  return createClient(service, transport);
}

async function firstLine(program: TestProgram): Promise<string> {
  let isOver = false;
  void program.ended.then(() => (isOver = true));
  return eventually(
    () => {
      const [line, ...rest] = program.stdout().split("\n");
      if (line !== undefined && rest.length > 0) return line;
      throw failure("Muin is not ready", program.stderr());
    },
    { timeoutMs: readyMsMax, unless: () => isOver },
  );
}

function failure(message: string, stderr: string): Error {
  return new Error(`${message}; its standard error ends with:\n${stderr.slice(-shownCharsMax)}`);
}

/** What has come from a stream so far, and its end. */
interface Collected {
  text(): string;
  readonly ended: Promise<void>;
}

function collect(stream: ReadableStream<Uint8Array>): Collected {
  const decoder = new TextDecoder();
  let text = "";
  const read = async (): Promise<void> => {
    for await (const chunk of stream) text += decoder.decode(chunk, { stream: true });
  };
  return { text: () => text, ended: read() };
}
