import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DescService } from "@bufbuild/protobuf";
import type { Client } from "@connectrpc/connect";
import { connect } from "./connection.ts";

const main = join(import.meta.dir, "main.ts");

/** How a command ended. */
export interface Ended {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A running command. */
export interface Running {
  readonly ended: Promise<Ended>;
  kill(signal: NodeJS.Signals): void;
  /** Resolves once standard output or error has shown this text. */
  shows(text: string): Promise<void>;
}

/** A Muin in a process and a data folder of its own, and the command line that talks to it. */
export interface TestMuin extends AsyncDisposable {
  readonly folder: string;
  /** What `up --json` printed. */
  readonly facts: { readonly http: string; readonly api_key: string };
  /** Runs a command to its end. */
  run(...args: readonly string[]): Promise<Ended>;
  /** Begins a command. */
  begin(args: readonly string[], options?: { readonly stdin?: string; readonly env?: Record<string, string> }): Running;
  /** A client with the operator key. */
  client<S extends DescService>(service: S): Promise<Client<S>>;
  /** Kills Muin with SIGKILL and starts it again at the same address. */
  crash(): Promise<void>;
}

/** Starts a Muin on free ports. */
export async function startMuin(): Promise<TestMuin> {
  const folder = await mkdtemp(join(tmpdir(), "muin-cli-"));
  await chmod(folder, 0o711); // PostgreSQL may run as another user, who must reach its data below.
  const data = join(folder, "data");
  const env = { ...process.env, MUIN_DATA_DIR: data, NO_COLOR: "1" };
  const up = async (port: string) => {
    const child = Bun.spawn([process.execPath, main, "up", "--json", "--http-port", port, "--grpc-port", "0"], {
      env: { ...env, MUIN_LOG_LEVEL: "error" },
      stdout: "pipe",
      stderr: "inherit",
    });
    let text = "";
    for await (const chunk of child.stdout) {
      text += Buffer.from(chunk).toString();
      if (text.includes("\n")) break;
    }
    if (!text.includes("\n")) throw new Error(`muin up ended with ${await child.exited} before it was ready`);
    return { child, facts: JSON.parse(text) as TestMuin["facts"] };
  };
  let { child, facts } = await up("0").catch(async (error: unknown) => {
    await rm(folder, { recursive: true, force: true });
    throw error;
  });

  const begin: TestMuin["begin"] = (args, options = {}) => {
    const command = Bun.spawn([process.execPath, main, ...args], {
      env: { ...env, ...options.env },
      stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin]),
      stdout: "pipe",
      stderr: "pipe",
    });
    let shown = "";
    const waiting = new Set<() => void>();
    const collect = async (stream: ReadableStream<Uint8Array>): Promise<string> => {
      const decoder = new TextDecoder();
      let text = "";
      for await (const chunk of stream) {
        const piece = decoder.decode(chunk, { stream: true });
        text += piece;
        shown += piece;
        for (const check of waiting) check();
      }
      return text;
    };
    const streams = Promise.all([collect(command.stdout), collect(command.stderr)]);
    return {
      ended: (async () => {
        const [stdout, stderr] = await streams;
        return { code: await command.exited, stdout, stderr };
      })(),
      kill: (signal) => command.kill(signal),
      shows: (text) =>
        new Promise((resolve, reject) => {
          const check = (): void => {
            if (shown.includes(text)) resolve();
          };
          waiting.add(check);
          check();
          void streams.then(() => reject(new Error(`it ended without ${JSON.stringify(text)}: ${shown}`)));
        }),
    };
  };
  return {
    folder,
    get facts() {
      return facts;
    },
    begin,
    run: (...args) => begin(args).ended,
    client: async (service) => (await connect({ dataDir: data }, {})).client(service),
    crash: async () => {
      child.kill("SIGKILL");
      await child.exited;
      ({ child, facts } = await up(new URL(facts.http).port));
    },
    [Symbol.asyncDispose]: async () => {
      child.kill("SIGTERM");
      await child.exited;
      await rm(folder, { recursive: true, force: true });
    },
  };
}
