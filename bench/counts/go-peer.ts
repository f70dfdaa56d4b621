import { join } from "node:path";
import { plainKeyPrefix } from "./peer-keys.ts";

/** The peer in Go, running. */
export interface GoPeer {
  readonly pid: number;
  /** Origin of its Increment over Connect. */
  readonly http: string;
  /** "host:port" of its Increment over gRPC. */
  readonly grpc: string;
  close(): Promise<void>;
}

const sources = join(import.meta.dir, "go-peer");

/** Builds the peer into `folder`, with the modules that `go.sum` pins. Returns the program; `undefined` where Go is not installed or cannot build it. */
export async function buildGoPeer(folder: string): Promise<string | undefined> {
  if (Bun.which("go") === null) return undefined;
  const program = join(folder, "go-peer");
  const build = Bun.spawn(["go", "build", "-mod=readonly", "-o", program, "."], {
    cwd: sources,
    stdio: ["ignore", "inherit", "inherit"],
  });
  return (await build.exited) === 0 ? program : undefined;
}

/** Starts the peer before a Redis. It ends with its standard input, and so with the bench. */
export async function startGoPeer(program: string, redisUrl: string): Promise<GoPeer> {
  const child = Bun.spawn([program, `-redis=${redisUrl}`, `-prefix=${plainKeyPrefix}`], {
    stdin: "pipe",
    stdout: "pipe",
    stderr: "inherit",
  });
  const addresses = await firstLine(child.stdout);
  const [http, grpc] = addresses.split(" ");
  if (http === undefined || grpc === undefined) throw new Error(`the peer in Go said ${JSON.stringify(addresses)}`);
  return {
    pid: child.pid,
    http,
    grpc,
    close: async () => {
      await child.stdin.end();
      await child.exited;
    },
  };
}

async function firstLine(stream: ReadableStream<Uint8Array>): Promise<string> {
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of stream) {
    text += decoder.decode(chunk, { stream: true });
    const end = text.indexOf("\n");
    if (end >= 0) return text.slice(0, end);
  }
  return text;
}
