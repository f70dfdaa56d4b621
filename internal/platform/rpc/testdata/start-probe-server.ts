import { createRpcServer, type RpcAddresses, type RpcServerOptions } from "../server.ts";
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
  stop(): Promise<void>;
}

/** Starts a server of the probe service on free ports of the loopback. */
export async function startProbeServer(options: Partial<RpcServerOptions> = {}): Promise<ProbeServer> {
  const events: ProbeEvents = { released: 0, address: "", timeoutMs: undefined };
  const ended: string[] = [];
  const lines: { message: string; fields: unknown }[] = [];
  const server = createRpcServer({
    served: [createProbeService(events)],
    authenticator: probeAuthenticator,
    observer: recordingObserver(ended),
    log: recordingLog(lines),
    http: { host: "127.0.0.1", port: 0 },
    grpc: { host: "127.0.0.1", port: 0 },
    shutdownGraceMs: 100,
    ...options,
  });
  await server.start();
  return {
    addresses: server.addresses(),
    events,
    ended,
    lines,
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}
