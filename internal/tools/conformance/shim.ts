/**
 * The server under test: reads what the suite wants of it on standard input, starts the RPC server accordingly and says on
 * standard output where it listens. Both messages are preceded by their length, 32 bits big-endian. Argument: the folder of
 * the code generated from the suite's protos.
 */
import { create, fromBinary, toBinary, type Message } from "@bufbuild/protobuf";
import { join } from "node:path";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { planMethods } from "../../platform/rpc/call/plan.ts";
import { createRpcServer } from "../../platform/rpc/server/server.ts";
import { createConformanceService, type ConformanceModules } from "./service.ts";

interface ServerCompatRequest {
  readonly protocol: number;
  readonly useTls: boolean;
  readonly clientTlsCert: Uint8Array;
  readonly messageReceiveLimit: number;
  readonly serverCreds?: { readonly cert: Uint8Array; readonly key: Uint8Array };
}

const protocolGrpc = 2;
const lengthBytes = 4;
/** How often to look whether the suite still lives, in milliseconds. */
const orphanCheckMs = 1000;

const generated = join(process.argv[2]!, "connectrpc/conformance/v1");
const modules = {
  service: (await import(join(generated, "service_pb.ts"))) as ConformanceModules["service"],
  serverCompat: (await import(join(generated, "server_compat_pb.ts"))) as ConformanceModules["serverCompat"],
};
const { ServerCompatRequestSchema, ServerCompatResponseSchema } = modules.serverCompat;

const wanted = fromBinary(ServerCompatRequestSchema, await readMessage()) as unknown as ServerCompatRequest;
const ignore = (): void => undefined;
const log: Logger = {
  debug: ignore,
  info: ignore,
  warn: ignore,
  error: (message, fields) => process.stderr.write(`${message} ${Bun.inspect(fields)}\n`),
  child: () => log,
};
const defaultReadBytesMax = 4 * 1024 * 1024;
const text = new TextDecoder();
const creds = wanted.useTls ? wanted.serverCreds : undefined;
const server = createRpcServer({
  plans: planMethods([createConformanceService(modules)]),
  authenticator: {
    authenticate: () => {
      throw new Error("the suite sends no credentials");
    },
  },
  observer: { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) },
  log,
  http: { host: "127.0.0.1", port: 0 },
  grpc: { host: "127.0.0.1", port: 0 },
  operator: { host: "127.0.0.1", port: 0, pages: {} },
  // The suite counts the details of each error: it wants those that the handler gave, and no others.
  errorInfoDomain: null,
  // The suite shows no credentials, and is no stranger.
  limits: {
    publicReadBytesMax: wanted.messageReceiveLimit === 0 ? defaultReadBytesMax : wanted.messageReceiveLimit,
    takesPublicBrotli: true,
  },
  connectionLimits: { strangerRequestsMax: 1_000_000, strangerConnectionsMax: 1_000_000 },
  ...(creds === undefined
    ? {}
    : {
        tls: {
          key: text.decode(creds.key),
          cert: text.decode(creds.cert),
          ...(wanted.clientTlsCert.length === 0 ? {} : { ca: text.decode(wanted.clientTlsCert) }),
        },
      }),
});
await server.start();
const addresses = server.addresses();
const url = new URL(wanted.protocol === protocolGrpc ? `http://${addresses.grpc}` : addresses.http);
const reply: Message = create(ServerCompatResponseSchema, {
  host: url.hostname,
  port: Number(url.port),
  ...(creds === undefined ? {} : { pemCert: creds.cert }),
});
const bytes = toBinary(ServerCompatResponseSchema, reply);
const framed = Buffer.alloc(lengthBytes + bytes.length);
framed.writeUInt32BE(bytes.length);
framed.set(bytes, lengthBytes);
process.stdout.write(framed);
process.once("SIGTERM", () => process.exit(0));
// A suite that is killed tells its servers nothing.
const suite = process.ppid;
setInterval(() => {
  if (process.ppid !== suite) process.exit(1);
}, orphanCheckMs);

async function readMessage(): Promise<Uint8Array> {
  let read = Buffer.alloc(0);
  for await (const chunk of process.stdin) {
    read = Buffer.concat([read, chunk as Uint8Array]);
    if (read.length < lengthBytes) continue;
    const end = lengthBytes + read.readUInt32BE();
    if (read.length >= end) return read.subarray(lengthBytes, end);
  }
  throw new Error("standard input ended before the request");
}
