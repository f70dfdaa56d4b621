import type { Transport } from "@connectrpc/connect";
import type { Caller } from "../../identity/caller.ts";
import { createInProcessTransport } from "../local/lane.ts";
import { createRpcServer, type RpcAddresses, type RpcServer, type RpcServerOptions } from "../server/server.ts";
import {
  createProbeService,
  probeAuthenticator,
  recordingLog,
  recordingObserver,
  type ProbeEvents,
} from "./probe-service.ts";

/** A running server of the probe service, and what was seen of it. */
export interface ProbeServer extends AsyncDisposable {
  readonly addresses: RpcAddresses;
  readonly events: ProbeEvents;
  readonly ended: string[];
  readonly lines: { message: string; fields: unknown }[];
  /** The way to it from within its process. */
  inProcess(caller: Caller): Transport;
  stop(): Promise<void>;
}

/** What is seen of a server. */
type Seen = Pick<ProbeServer, "events" | "ended" | "lines">;

/** A server of the probe service that has not started. */
export function createProbeServer(options: Partial<RpcServerOptions> = {}, seen: Seen = createSeen()): RpcServer {
  return createRpcServer({
    served: [createProbeService(seen.events)],
    authenticator: probeAuthenticator,
    observer: recordingObserver(seen.ended),
    log: recordingLog(seen.lines),
    http: { host: "127.0.0.1", port: 0 },
    grpc: { host: "127.0.0.1", port: 0 },
    shutdownGraceMs: 100,
    ...options,
  });
}

/** Starts a server of the probe service on free ports of the loopback. */
export async function startProbeServer(options: Partial<RpcServerOptions> = {}): Promise<ProbeServer> {
  const seen = createSeen();
  const server = createProbeServer(options, seen);
  await server.start();
  return {
    ...seen,
    addresses: server.addresses(),
    inProcess: (caller) =>
      createInProcessTransport(options.served ?? [createProbeService(seen.events)], {
        caller,
        observer: options.observer ?? recordingObserver(seen.ended),
        log: recordingLog(seen.lines),
        ...(options.limits === undefined ? {} : { limits: options.limits }),
      }),
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

function createSeen(): Seen {
  return { events: { released: 0, address: "", timeoutMs: undefined }, ended: [], lines: [] };
}
