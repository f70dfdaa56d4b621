import type { Transport } from "@connectrpc/connect";
import type { Caller } from "../../identity/caller.ts";
import type { Served } from "../../service/parts.ts";
import { planMethods, type MethodPlans } from "../call/plan.ts";
import { createLocalLane } from "../local/lane.ts";
import { createRpcServer, type RpcAddresses, type RpcServer, type RpcServerOptions } from "../server/server.ts";
import {
  createProbeService,
  probeAuthenticator,
  probeCallers,
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
  notices(): readonly string[];
  readonly useTls: RpcServer["useTls"];
  stop(): Promise<void>;
}

/** What is seen of a server. */
type Seen = Pick<ProbeServer, "events" | "ended" | "lines">;

/** What differs from a server's usual options, and what it serves. Default: the probe service. */
export type ProbeServerOptions = Partial<RpcServerOptions> & { readonly served?: readonly Served[] };

/** A server of the probe service that has not started. */
export function createProbeServer(
  options: ProbeServerOptions = {},
  seen: Seen = createSeen(),
  plans: MethodPlans = planOf(options, seen),
): RpcServer {
  return createRpcServer({
    plans,
    authenticator: probeAuthenticator,
    observer: recordingObserver(seen.ended),
    log: recordingLog(seen.lines),
    http: { host: "127.0.0.1", port: 0 },
    grpc: { host: "127.0.0.1", port: 0 },
    operator: { host: "127.0.0.1", port: 0, pages: {} },
    shutdownGraceMs: 100,
    ...options,
  });
}

/** Starts a server of the probe service on free ports of the loopback. */
export async function startProbeServer(options: ProbeServerOptions = {}): Promise<ProbeServer> {
  const seen = createSeen();
  const plans = options.plans ?? planOf(options, seen);
  const server = createProbeServer(options, seen, plans);
  await server.start();
  return {
    ...seen,
    addresses: server.addresses(),
    inProcess: createLocalLane(plans, {
      observer: options.observer ?? recordingObserver(seen.ended),
      log: recordingLog(seen.lines),
      ...(options.limits === undefined ? {} : { limits: options.limits }),
    }),
    notices: () => server.notices(),
    useTls: (tls) => server.useTls(tls),
    stop: () => server.stop(),
    [Symbol.asyncDispose]: () => server.stop(),
  };
}

function createSeen(): Seen {
  return { events: { released: 0, address: "", timeoutMs: undefined }, ended: [], lines: [] };
}

function planOf({ served }: ProbeServerOptions, { events }: Seen): MethodPlans {
  return planMethods(served ?? [createProbeService(events)], { serviceCallers: probeCallers });
}
