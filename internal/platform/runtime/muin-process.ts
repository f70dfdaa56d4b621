import type { DescService } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, type Client, type Transport } from "@connectrpc/connect";
import { ApiKeyService } from "../../gen/muin/identity/v1/api_key_service_pb.ts";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { readConfig, type Environment } from "../config/read-config.ts";
import { HeartbeatSchema } from "../../gen/muin/platform/v1/heartbeat_events_pb.ts";
import { SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { createRedisEventBus } from "../events/redis-event-bus.ts";
import { topicsOf } from "../events/topics.ts";
import type { VerifiedApiKey } from "../identity/api-key-verifier.ts";
import { createAuthenticator } from "../identity/authenticator.ts";
import type { LocalStoresStatus } from "../local/local-stores.ts";
import { createCallTransport } from "../rpc/client/create-call-transport.ts";
import { planMethods, type MethodPlan } from "../rpc/call/plan.ts";
import { createLocalLane } from "../rpc/local/lane.ts";
import { createRpcServer, type RpcAddresses, type RpcServer } from "../rpc/server/server.ts";
import { createCallObserver } from "../telemetry/create-call-observer.ts";
import { createMetrics, metricsContentType } from "../telemetry/create-metrics.ts";
import type { Logger } from "../telemetry/logger.ts";
import { createTracing } from "../telemetry/tracing.ts";
import { createGroup, type Component } from "../lifecycle/component.ts";
import { createTogether } from "../lifecycle/together.ts";
import { composeService, type ComposedService, type Wiring } from "./compose-service.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { createOperations, readStatus } from "./operations.ts";
import { localOrigins, type ProcessConfig } from "../catalog/process-config.ts";
import { createRevocationFeed } from "./revocation-feed.ts";
import { statusPage } from "./status-page.ts";
import { version } from "../config/version.ts";

/** What a process runs and how it reaches the outside. */
export interface MuinProcessOptions extends Pick<Wiring, "storeUrl" | "schemaUrl" | "grants"> {
  /** Name of the process: the service's, or "muin" for all in one. */
  readonly name: string;
  /** Services that run here. */
  readonly services: readonly ServiceInfo[];
  readonly settings: ProcessConfig;
  readonly env: Environment;
  /** Events store, such as "redis://…". */
  readonly eventsUrl: string;
  /** Carries calls to services that do not run here. */
  remote(target: DescService): Transport;
  /** The servers that this process started; absent when it started none. */
  readonly localStores?: () => Promise<LocalStoresStatus>;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** A process of Muin. `start` resolves once both ports listen; services come up as their stores allow. */
export interface MuinProcess extends Component {
  addresses(): RpcAddresses;
  /** Resolves once every service is up and the process is ready for the first time. Rejects when a service cannot come up. */
  readonly up: Promise<void>;
}

/** How often readiness is asked for, in milliseconds: of a process that is ready, and of one that is not. */
const readinessPeriodMs = 1000;
const unreadinessPeriodMs = 100;

/** Puts a process together: its services, the event bus, identity, both ports and the pages. Does no I/O. */
export function createMuinProcess(options: MuinProcessOptions): MuinProcess {
  const { settings, clock, random, log, services } = options;
  const instance = random.uuid();
  const metrics = createMetrics();
  const tracing = createTracing({
    endpoint: options.env["OTEL_EXPORTER_OTLP_ENDPOINT"],
    sampleRatio: settings.traceSamplePercent / 100,
    service: options.name,
    version,
    instance,
    log,
  });
  const serverObserver = createCallObserver({ side: "server", metrics, tracing, clock });
  const clientObserver = createCallObserver({ side: "client", metrics, tracing, clock });
  const bus = createRedisEventBus({
    url: options.eventsUrl,
    partitions: settings.eventPartitions,
    instance,
    clock,
    random,
    log,
    metrics,
    topics: topicsOf([
      HeartbeatSchema,
      SessionRevokedSchema,
      ...services.flatMap(({ publishes, consumes }) => [...publishes, ...consumes.map(({ schema }) => schema)]),
    ]),
  });

  const composed: ComposedService[] = [];
  // Filled once all services exist: they call each other.
  const plans = new Map<string, MethodPlan>();
  const local = createLocalLane(plans, { observer: serverObserver, log, clock });
  const transport = (caller: string, target: DescService): Transport => {
    const isHere = services.some(({ serves }) => serves.some(({ typeName }) => typeName === target.typeName));
    return createCallTransport({
      target: target.typeName,
      transport: isHere
        ? local({ kind: "service", id: caller, principal: `service:${caller}` })
        : options.remote(target),
      observer: clientObserver,
      clock,
      random,
      metrics,
    });
  };
  for (const info of services) {
    composed.push(
      composeService(info, {
        storeUrl: options.storeUrl,
        schemaUrl: options.schemaUrl,
        grants: options.grants,
        config: (of) => readConfig(of.name, of.config, options.env),
        transport: (of, target) => transport(of.name, target),
        bus,
        clock,
        random,
        log,
        metrics,
        tracing,
      }),
    );
  }

  const keys = createClient(AuthService, transport(options.name, AuthService));
  const apiKeys = createClient(ApiKeyService, transport(options.name, ApiKeyService));
  const authenticator = createAuthenticator({
    issuer: settings.issuer,
    fetchKeys: async () => (await keys.listKeys({})).keys,
    verifyApiKey: async (secretHash) => verifiedApiKey(apiKeys, secretHash),
    heartbeatAgeMs: () => clock.monotonic() - bus.heartbeatReceivedAt(),
    clock,
    log,
    metrics,
  });
  const revocations = createRevocationFeed({ service: options.name, bus, authenticator, clock });
  let knowsRevocations = false;
  void revocations.caughtUp.then(() => (knowsRevocations = true));
  const operations = { services: composed, bus, localStores: options.localStores, clock };
  planMethods([...composed.flatMap(({ served }) => served), createOperations(operations)], { plans });
  let notReady: string | undefined = "starting";
  const rpc: RpcServer = createRpcServer({
    plans,
    authenticator,
    observer: serverObserver,
    log,
    clock,
    http: { host: settings.host, port: settings.httpPort },
    grpc: { host: settings.host, port: settings.grpcPort },
    ...(settings.corsOrigins === localOrigins
      ? {}
      : { cors: { origins: settings.corsOrigins.split(",").map((origin) => origin.trim()) } }),
    trustedHops: settings.trustedHops,
    drainMs: settings.drainMs,
    shutdownGraceMs: settings.shutdownGraceMs,
    readiness: () => notReady,
    extraRoutes: {
      "/": async () => statusPage({ status: await readStatus(operations), ...rpc.addresses() }),
      "/metrics": async () => new Response(await metrics.render(), { headers: { "content-type": metricsContentType } }),
    },
  });

  const stopped = new AbortController();
  const firstReady = Promise.withResolvers<void>();
  firstReady.promise.catch(() => undefined); // Whoever does not wait for `up` learns from the log.
  const readiness: Component = {
    name: "readiness",
    start: async () => {
      void watchReadiness(); // Ends with `stop`; it never rejects.
    },
    stop: async () => {
      stopped.abort();
      firstReady.reject(new Error(`${options.name} was stopped before it was ready`));
    },
  };
  const watchReadiness = async (): Promise<void> => {
    while (!stopped.signal.aborted) {
      const answers = await Promise.all(
        composed.map(async (service) => {
          const problem = await service.readiness();
          return problem === undefined ? undefined : `${service.info.name}: ${problem}`;
        }),
      );
      const problem =
        answers.find((answer) => answer !== undefined) ??
        (await authenticator.readiness()) ??
        (knowsRevocations ? undefined : "events: what was revoked lately is not known yet");
      if (problem === undefined && notReady !== undefined) {
        log.info("ready");
        firstReady.resolve();
      }
      if (problem !== undefined && notReady === undefined) log.warn("not ready", { reason: problem });
      notReady = problem;
      await clock
        .sleep(notReady === undefined ? readinessPeriodMs : unreadinessPeriodMs, stopped.signal)
        .catch(() => undefined);
    }
  };
  const group = createGroup(options.name, [
    bus,
    { name: "tracing", start: async () => {}, stop: () => tracing.shutdown() },
    revocations,
    createTogether("services", composed),
    rpc,
    readiness,
  ]);
  return {
    name: options.name,
    start: () => group.start(),
    stop: () => group.stop(),
    addresses: () => rpc.addresses(),
    up: Promise.all([...composed.map(({ up }) => up), firstReady.promise]).then(() => undefined),
  };
}

/** Asks auth whose key it is; `undefined` for nobody's. */
async function verifiedApiKey(
  apiKeys: Client<typeof ApiKeyService>,
  secretHash: Uint8Array<ArrayBuffer>,
): Promise<VerifiedApiKey | undefined> {
  try {
    const { apiKey } = await apiKeys.verifyApiKey({ secretHash });
    if (apiKey === undefined) return undefined;
    return {
      id: apiKey.apiKeyId,
      scopes: apiKey.scopes,
      expireTimeMs: apiKey.expireTime === undefined ? undefined : timestampMs(apiKey.expireTime),
    };
  } catch (error) {
    if (ConnectError.from(error).code === Code.Unauthenticated) return undefined;
    throw error;
  }
}
