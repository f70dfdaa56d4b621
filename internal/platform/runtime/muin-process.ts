import type { DescService } from "@bufbuild/protobuf";
import type { Transport } from "@connectrpc/connect";
import { PersonalDataService } from "../../gen/muin/platform/v1/personal_data_service_pb.ts";
import { publishedTopics, sharedTopics } from "../catalog/bus-topics.ts";
import { localOrigins, type ProcessConfig } from "../catalog/process-config.ts";
import type { ServiceCallers } from "../catalog/service-callers.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { readConfig, variableOf, type Environment } from "../config/read-config.ts";
import { openBroker } from "../events/open-broker.ts";
import type { Authenticator } from "../identity/authenticator.ts";
import { createSignatureReader, type SignatureReader } from "../identity/call-signature.ts";
import { openNonces } from "../identity/nonces.ts";
import { signUpField, signUpWhere } from "../identity/sign-up.ts";
import { createSequence, type Component } from "../lifecycle/component.ts";
import { createTogether } from "../lifecycle/together.ts";
import type { Leases } from "../lease/leases.ts";
import { openLeases } from "../lease/open-leases.ts";
import type { RunsAs } from "../local/leave-root.ts";
import type { LocalStoresStatus } from "../local/local-stores.ts";
import { isInternal } from "../rpc/call/internal.ts";
import { planMethods, type MethodPlan, type MethodPlans } from "../rpc/call/plan.ts";
import { textPage } from "../rpc/server/pages.ts";
import { createSharedPage } from "../rpc/server/shared-page.ts";
import { createRpcServer, type RpcAddresses, type RpcServer } from "../rpc/server/server.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { metricsContentType } from "../telemetry/create-metrics.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Certificate } from "../tls/certificate.ts";
import { openCertificates, type Certificates } from "../tls/certificates.ts";
import { checkListener, checkOperatorListener, insecurityNotice } from "../tls/exposure.ts";
import { composeService, type ComposedService } from "./compose-service.ts";
import { runtimeErrors } from "./errors.ts";
import { accountNotice } from "./own-account.ts";
import { createOperations } from "./operations.ts";
import { createPersonalDataHolders, createPersonalDataService } from "./personal-data.ts";
import { createProcessCalls, type ProcessCalls } from "./process-calls.ts";
import { createProcessIdentity } from "./process-identity.ts";
import { createDegradation } from "./degradation.ts";
import { createProcessReadiness } from "./process-readiness.ts";
import { readStatus, type StatusSources } from "./process-status.ts";
import { startAlone } from "./start-alone.ts";
import { createStandingAlone, type StandingAlone } from "./standing-alone.ts";
import { createProcessTelemetry, type ProcessTelemetry } from "./process-telemetry.ts";
import { openStoreSizes } from "./store-sizes.ts";
import { statusPage } from "./status-page.ts";
import type { Wiring } from "./wiring.ts";

/** What a process runs and how it reaches the outside. */
export interface MuinProcessOptions extends Pick<
  Wiring,
  "storeUrl" | "storePath" | "schemaUrl" | "grants" | "consumedTopics" | "askers"
> {
  /** Name of the process: the service's, or "muin" for all in one. */
  readonly name: string;
  /** Services that run here. */
  readonly services: readonly ServiceInfo[];
  /** Names of the services of the installation that hold data of people. */
  readonly personalDataHolders: readonly string[];
  /** Which services of the installation may call what. */
  readonly serviceCallers: ServiceCallers;
  /** Whether services call from other processes. Otherwise RPCs for services alone do not exist on the ports. */
  readonly hasPeers: boolean;
  readonly settings: ProcessConfig;
  readonly env: Environment;
  /** Events store, such as "redis://…". */
  readonly eventsUrl: string;
  /** Redis of the leases and of the nonces of signed calls; may be that of the events. */
  readonly coordinationUrl: string;
  /** The token by which its services call others, where they call any in other processes. */
  readonly serviceToken?: Component | undefined;
  /** Carries calls to a service that does not run here: to who serves `target`, or to the process of the service `holder`. */
  remote(target: DescService, holder?: string): Transport;
  /** The servers that this process started; absent when it started none. */
  readonly localStores?: () => Promise<LocalStoresStatus>;
  readonly runsAs: RunsAs;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** A process of Muin. `start` resolves once its ports listen; services come up as their stores allow. */
export interface MuinProcess extends Component {
  /** Its services, in the order in which they were given. */
  readonly services: readonly ComposedService[];
  addresses(): RpcAddresses;
  /** Resolves once every service is up and the process is ready for the first time. Rejects when a service cannot come up. */
  readonly up: Promise<void>;
}

/** Puts a process together: its services, leases and broker, identity, both ports and the pages. Does no I/O. */
export function createMuinProcess(options: MuinProcessOptions): MuinProcess {
  const { name, settings, env, clock, random, log } = options;
  const instance = random.uuid();
  const telemetry = createProcessTelemetry({
    service: name,
    instance,
    endpoint: env["OTEL_EXPORTER_OTLP_ENDPOINT"],
    samplePercent: settings.traceSamplePercent,
    clock,
    log,
  });
  const leases = openLeases(options.coordinationUrl, { instance, clock, random, log });
  const broker = openProcessBroker(options, instance, leases, telemetry);
  const plans = new Map<string, MethodPlan>();
  const calls = createProcessCalls({ ...options, plans, telemetry });
  const { authenticator, revocations } = createProcessIdentity(options, { calls, broker, telemetry });
  const { entryPasses } = authenticator;
  const services = composeServices(options, { calls, broker, leases, telemetry, entryPasses });
  const degradation = createDegradation({ ...options, ...telemetry, ...settings, services });
  const sizes = openStoreSizes(options, { services, instance, clock, log, metrics: telemetry.metrics });
  const status: StatusSources = {
    services,
    broker,
    degraded: () => [...degradation.reasons(), ...sizes.reasons(), ...broker.spoilt(), ...alone.reasons()],
    localStores: options.localStores,
    notices: () =>
      [
        ...rpc.notices(),
        ...(certificates?.notices() ?? []),
        authenticator.notice(),
        insecurityNotice(settings),
        accountNotice(options.runsAs),
      ].filter((notice) => notice !== undefined),
    clock,
  };
  const served = services.flatMap((service) => service.served);
  const own = [
    { ...createOperations(status), errors: runtimeErrors.table },
    { ...createPersonalDataService(services), errors: runtimeErrors.table },
  ];
  planMethods([...served, ...own], { plans, serviceCallers: options.serviceCallers });

  const alone = createStandingAlone(services, revocations);
  const readiness = createProcessReadiness({ name, look: lookAt(services, authenticator, alone), clock, log });
  const certificates = openProcessCertificates(options, telemetry, (certificate) => rpc.useTls(certificate));
  const nonces = openNonces(options.coordinationUrl, { instance, clock, random, log });
  const rpc: RpcServer = createServer(options, {
    tls: certificates?.first,
    plans,
    authenticator,
    signatures: createSignatureReader({ clock, nonces, log, metrics: telemetry.metrics }),
    telemetry,
    status,
    readiness: () => readiness.problem(),
  });
  /** What reaches servers that the process may have to do without. */
  const outside = (component: Component): Component =>
    alone.isAlone ? startAlone(component, { clock, log }) : component;
  const sequence = createSequence(name, [
    outside(createSequence("bus", [leases, broker])),
    telemetry,
    ...(options.serviceToken === undefined ? [] : [options.serviceToken]),
    createTogether("services", services),
    revocations, // In the folder of a service, which holds that from its start to its stop.
    degradation,
    outside(sizes),
    outside(nonces),
    rpc,
    ...(certificates === undefined ? [] : [certificates]),
    readiness,
  ]);
  const up = Promise.all([...services.map(({ up }) => up), readiness.firstReady]).then(() => undefined);
  up.catch(() => undefined); // Where the start fails nobody waits for it, and its error says why.
  return { ...sequence, services, addresses: () => rpc.addresses(), up };
}

/** The services of the process, in the order in which they were given. */
function composeServices(
  options: MuinProcessOptions,
  parts: Pick<Wiring, "broker" | "leases" | "entryPasses"> & {
    readonly calls: ProcessCalls;
    readonly telemetry: ProcessTelemetry;
  },
): readonly ComposedService[] {
  const { calls, telemetry, ...shared } = parts;
  const told = withSignUp(options.env, options.settings);
  return options.services.map((info) =>
    composeService(info, {
      ...options,
      ...telemetry,
      config: (of) => readConfig(of.name, of.config, told),
      transport: (of, target) => calls.to(of.name, target),
      personalData: (of) =>
        createPersonalDataHolders(options.personalDataHolders, (holder) =>
          calls.toProcessOf(of.name, PersonalDataService, holder),
        ),
      ...shared,
    }),
  );
}

/** The certificate of both ports, if there is one. Throws `ConfigError` where there must be one, or where it cannot be used. */
function openProcessCertificates(
  { name, services, settings, clock, log }: MuinProcessOptions,
  { metrics }: ProcessTelemetry,
  use: (certificate: Certificate) => void,
): Certificates | undefined {
  const names = [...new Set([name, ...services.map((service) => service.name)])];
  const certificates = openCertificates({ config: settings, services: names, use, clock, log, metrics });
  const hasTls = certificates !== undefined;
  checkListener({ ...settings, hasTls });
  checkOperatorListener({ ...settings, hasTls });
  return certificates;
}

/** The environment with who may sign up, where nobody said it: that follows from where the process listens. */
function withSignUp(env: Environment, settings: ProcessConfig): Environment {
  const variable = variableOf("", signUpField.name);
  const isGiven = env[variable] !== undefined || env[`${variable}_FILE`] !== undefined;
  return isGiven ? env : { ...env, [variable]: signUpWhere(settings) };
}

/** The broker, with every topic on which this process publishes. */
function openProcessBroker(
  { services, eventsUrl, coordinationUrl, settings, clock, random, log }: MuinProcessOptions,
  instance: string,
  leases: Leases,
  { metrics }: ProcessTelemetry,
) {
  return openBroker(eventsUrl, {
    coordinationUrl,
    leases,
    partitions: settings.eventPartitions,
    instance,
    topics: services.flatMap(publishedTopics),
    sharedTopics: Object.keys(sharedTopics),
    services: services.map(({ name }) => name),
    clock,
    random,
    log,
    metrics,
  });
}

/** Says why a process cannot serve: the first of its services that cannot, or that it cannot tell who calls, unless it does without that. */
function lookAt(
  services: readonly ComposedService[],
  authenticator: Authenticator,
  { isAlone, revocationsUnknown }: StandingAlone,
): () => Promise<string | undefined> {
  return async () => {
    const answers = await Promise.all(
      services.map(async (service) => {
        const problem = await service.readiness();
        return problem === undefined ? undefined : `${service.info.name}: ${problem}`;
      }),
    );
    const problem = answers.find((answer) => answer !== undefined);
    const identity = authenticator.readiness(); // Asks for the keys, so that they are there for the first call.
    return isAlone ? problem : (problem ?? (await identity) ?? revocationsUnknown());
  };
}

/** Both public ports, and the operator's with the pages for people and for the metrics' collector. */
function createServer(
  { settings, hasPeers, clock, log }: MuinProcessOptions,
  parts: {
    readonly tls: Certificate | undefined;
    readonly plans: MethodPlans;
    readonly authenticator: Authenticator;
    readonly signatures: SignatureReader;
    readonly telemetry: ProcessTelemetry;
    readonly status: StatusSources;
    readonly readiness: () => string | undefined;
  },
): RpcServer {
  const { metrics, serverObserver } = parts.telemetry;
  const { host, httpPort, grpcPort, operatorHost, operatorPort, operatorNames } = settings;
  const { corsOrigins, trustedHops, strangerRequestsPerS, drainMs, shutdownGraceMs } = settings;
  const rpc: RpcServer = createRpcServer({
    plans: parts.plans,
    ...(hasPeers ? {} : { hides: isInternal }),
    authenticator: parts.authenticator,
    signatures: parts.signatures,
    observer: serverObserver,
    log,
    clock,
    http: { host, port: httpPort },
    grpc: { host, port: grpcPort },
    ...(parts.tls === undefined ? {} : { tls: parts.tls }),
    ...(corsOrigins === localOrigins
      ? {}
      : { cors: { origins: corsOrigins.split(",").map((origin) => origin.trim()) } }),
    trustedHops,
    connectionLimits: { strangerRequestsPerS, strangerRequestsMax: 2 * strangerRequestsPerS },
    drainMs,
    shutdownGraceMs,
    readiness: parts.readiness,
    degraded: parts.status.degraded,
    extraRoutes: { "/": () => textPage(200, "Muin is up.") },
    operator: {
      host: operatorHost,
      port: operatorPort,
      names: [operatorHost, ...operatorNames.split(",").map((name) => name.trim())].filter((name) => name !== ""),
      pages: {
        "/": createSharedPage(
          async () => statusPage({ status: await readStatus(parts.status), ...rpc.addresses() }),
          clock,
        ),
        "/metrics": async () =>
          new Response(await metrics.render(), { headers: { "content-type": metricsContentType } }),
      },
    },
  });
  return rpc;
}
