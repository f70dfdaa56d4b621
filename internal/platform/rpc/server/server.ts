import type { DescMethod } from "@bufbuild/protobuf";
import type { Component } from "../../lifecycle/component.ts";
import { systemClock, type Clock } from "../../clock/clock.ts";
import type { Authenticator } from "../../identity/authenticator.ts";
import type { SignatureReader } from "../../identity/call-signature.ts";
import type { CallObserver } from "../../telemetry/call-observer.ts";
import type { Logger } from "../../telemetry/logger.ts";
import { defaultConnectionLimits, type ConnectionLimits } from "./connection-limits.ts";
import type { CorsOptions } from "./cors.ts";
import { createFetchHandler } from "./fetch-handler.ts";
import { createGrpcPort } from "./grpc-port.ts";
import { createHttpPort } from "./http-port.ts";
import { createOperatorHandler } from "./operator-handler.ts";
import type { Page } from "./pages.ts";
import type { Port } from "./port.ts";
import { callErrors, connectError } from "../call/errors.ts";
import { createJsonRegistry } from "../call/json-registry.ts";
import { createCallLife, type CallLife } from "../call/life.ts";
import { defaultRpcLimits, type RpcLimits } from "../call/limits.ts";
import { createErrorMapper, errorDomain } from "../call/map-error.ts";
import { servicesOf, type MethodPlans } from "../call/plan.ts";
import { createStrangerRates } from "./stranger-rates.ts";
import { createUnreadForwarding } from "./unread-forwarding.ts";

/** Where a port listens. Port 0 takes any free one. */
export interface PortOptions {
  readonly host: string;
  readonly port: number;
}

/** Certificates in PEM. With `ca`, callers must show a certificate that it signed. */
export interface TlsOptions {
  readonly key: string;
  readonly cert: string;
  readonly ca?: string;
}

/** What the server serves and how. */
export interface RpcServerOptions {
  /** The methods, planned once for the process. */
  readonly plans: MethodPlans;
  /** Methods that do not exist for whoever comes by the ports: neither served nor described. Default: none. */
  readonly hides?: (method: DescMethod) => boolean;
  readonly authenticator: Pick<Authenticator, "authenticate">;
  /** Default: one that remembers the calls of this process alone. */
  readonly signatures?: SignatureReader;
  readonly observer: CallObserver;
  readonly log: Logger;
  readonly http: PortOptions;
  readonly grpc: PortOptions;
  /** Pages for whoever runs the process, by path, and where; names of the port beside its addresses and "localhost" (default: none). */
  readonly operator: PortOptions & {
    readonly pages: Readonly<Record<string, Page>>;
    readonly names?: readonly string[];
  };
  /** Default: the machine's clock. */
  readonly clock?: Clock;
  /** What differs from `defaultRpcLimits`. */
  readonly limits?: Partial<RpcLimits>;
  /** What differs from `defaultConnectionLimits`. */
  readonly connectionLimits?: Partial<ConnectionLimits>;
  /** Default: plain text. */
  readonly tls?: TlsOptions;
  /** Default: pages of this machine's own addresses only. */
  readonly cors?: CorsOptions;
  /** Pages and files of the HTTP port, by path; a path that ends in "/*" takes all below it. */
  readonly extraRoutes?: Readonly<Record<string, Page>>;
  /** Why the process cannot serve, or `undefined` when it can: the answer of /readyz and grpc.health.v1, the reason by the operator port alone. Default: it can. */
  readonly readiness?: () => string | undefined;
  /** What is wrong though the process serves, for people: told by the operator port's /readyz. Default: nothing. */
  readonly degraded?: () => readonly string[];
  /** How many proxies stand before the server and append to X-Forwarded-For. Default 0. */
  readonly trustedHops?: number;
  /** How long a stop keeps serving while health already fails, so that routers turn away first, in milliseconds. Default 0. */
  readonly drainMs?: number;
  /** How long a stop lets calls under way finish, in milliseconds; streams get at most half a second of it. Default 5000. */
  readonly shutdownGraceMs?: number;
  /** Domain of each error's google.rpc.ErrorInfo; `null` sends none, for peers that count an error's details. Default "muin". */
  readonly errorInfoDomain?: string | null;
}

/** Addresses that clients connect to, such as "http://127.0.0.1:8080", "127.0.0.1:9090" and "http://127.0.0.1:9091". */
export interface RpcAddresses {
  readonly http: string;
  readonly grpc: string;
  readonly operator: string;
}

/** A server of RPC services on an HTTP port and a gRPC port, with a port beside them for whoever runs it. */
export interface RpcServer extends Component {
  /** Where it listens. Throws before `start`. */
  addresses(): RpcAddresses;
  /** What whoever runs it should set right, for people; none when all is well. */
  notices(): readonly string[];
  /**
   * Shows new connections of all ports this certificate from now on, and fails no call for it. Throws when it cannot be used: the old
   * one stays. After `start`, of a server with `tls`.
   */
  useTls(tls: TlsOptions): void;
}

/** How often a stopping server looks whether its calls have ended, in milliseconds. */
const drainPollMs = 10;
/** How long a stop waits for streams, in milliseconds: one that follows something would not end by itself. */
const streamGraceMs = 500;
/** How long calls that were told to end may take to do so, in milliseconds. */
const abortGraceMs = 250;

/** Creates the server. Both ports serve the same methods, and a call has the same life in every lane. */
export function createRpcServer(options: RpcServerOptions): RpcServer {
  const clock = options.clock ?? systemClock;
  const limits: RpcLimits = { ...defaultRpcLimits, ...options.limits };
  let draining = false;
  const readiness = (): string | undefined => (draining ? "stopping" : options.readiness?.());
  const life = createCallLife({
    ...options,
    errors: createErrorMapper(options.errorInfoDomain === null ? undefined : (options.errorInfoDomain ?? errorDomain)),
    limits,
    clock,
  });
  const hides = options.hides ?? (() => false);
  const plans: MethodPlans = new Map([...options.plans].filter(([, { method }]) => !hides(method)));
  const trustedHops = options.trustedHops ?? 0;
  const unreadForwarding = createUnreadForwarding({ trustedHops, clock, log: options.log });
  const connectionLimits: ConnectionLimits = { ...defaultConnectionLimits, ...options.connectionLimits };
  const shared = {
    plans,
    hides,
    life,
    limits,
    connectionLimits,
    rates: createStrangerRates(connectionLimits, clock),
    registry: createJsonRegistry(servicesOf(plans)),
    clock,
    readiness,
    log: options.log,
    tls: options.tls,
    trustedHops,
    unreadForwarding,
  };
  const answer = createFetchHandler({ ...shared, cors: options.cors, extraRoutes: options.extraRoutes ?? {} });
  const http = createHttpPort({ ...shared, ...options.http, which: "http", answer });
  const grpc = createGrpcPort({ ...shared, ...options.grpc });
  const { pages, names = [], ...operatorAddress } = options.operator;
  const operator = createHttpPort({
    ...shared,
    ...operatorAddress,
    which: "operator",
    answer: createOperatorHandler({ ...shared, pages, names, degraded: options.degraded ?? (() => []) }),
  });
  const ports = [http, grpc, operator];
  let stopping: Promise<void> | undefined;

  const stop = async (): Promise<void> => {
    draining = true;
    if (options.drainMs !== undefined) await clock.sleep(options.drainMs);
    http.stopAccepting();
    grpc.stopAccepting();
    await drain(life, ports, clock, options.shutdownGraceMs ?? 5000);
    await stopPorts(ports);
  };
  return {
    name: "rpc",
    start: async () => {
      if (stopping !== undefined) return;
      try {
        for (const port of ports) await port.start();
      } catch (error) {
        await stopPorts(ports);
        throw error;
      }
      if (stopping !== undefined) await stopPorts(ports); // It was stopped meanwhile.
    },
    stop: () => (stopping ??= stop()),
    addresses: () => ({ http: http.address(), grpc: grpc.address(), operator: operator.address() }),
    notices: () => [unreadForwarding.notice()].filter((notice) => notice !== undefined),
    useTls: (tls) => {
      for (const port of ports) port.useTls(tls);
    },
  };
}

/** Lets calls under way finish, and their replies be read, within `graceMs`; streams get at most half a second of it. */
async function drain(life: CallLife, ports: readonly Port[], clock: Clock, graceMs: number): Promise<void> {
  const reason = connectError(callErrors.table.stopping);
  const began = clock.monotonic();
  const isBusy = (): boolean => life.inFlight() > 0 || ports.some((port) => port.pending() > 0);
  while (isBusy() && clock.monotonic() < began + graceMs) {
    await clock.sleep(drainPollMs);
    if (life.inFlight() === 0 || clock.monotonic() >= began + streamGraceMs) life.cutStreams(reason);
  }
  life.cutAll(reason);
  const abortUntil = clock.monotonic() + abortGraceMs;
  while (isBusy() && clock.monotonic() < abortUntil) await clock.sleep(drainPollMs);
}

async function stopPorts(ports: readonly Port[]): Promise<void> {
  await Promise.all(ports.map((port) => port.stop()));
}
