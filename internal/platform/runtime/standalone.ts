import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { askersOf, busUse, consumedTopics } from "../catalog/bus-topics.ts";
import { checkCatalog } from "../catalog/check-catalog.ts";
import type { ProcessConfig } from "../catalog/process-config.ts";
import { eventsRights } from "../catalog/bus-rights.ts";
import { serviceCallersOf } from "../catalog/service-callers.ts";
import type { PostgresRights } from "../catalog/store-rights.ts";
import { topology, type StoreTopology, type Topology } from "../catalog/topology.ts";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { variableOf, type Environment } from "../config/read-config.ts";
import type { Component } from "../lifecycle/component.ts";
import { timeout } from "../lifecycle/timeout.ts";
import { createDataFolder, type DataFolder } from "../local/data-folder.ts";
import { createLocalCertificate, type LocalCertificate } from "../local/local-certificate.ts";
import { createLocalStores, type LocalStores } from "../local/local-stores.ts";
import type { RedisServerSpec } from "../local/redis-server.ts";
import type { RunsAs } from "../local/leave-root.ts";
import { mailUrlField } from "../mail/mail-config.ts";
import type { RpcAddresses } from "../rpc/server/server.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { SetupLine } from "../service/parts.ts";
import type { Logger } from "../telemetry/logger.ts";
import { readCertificate } from "../tls/certificate.ts";
import { checkListener, checkOperatorListener } from "../tls/exposure.ts";
import { checkMailUrl } from "./mail-url.ts";
import { createMuinProcess, type MuinProcess, type MuinProcessOptions } from "./muin-process.ts";
import { takeOwnAccount } from "./own-account.ts";
import { setUp } from "./set-up.ts";

/** What a standalone Muin is made of. */
export interface StandaloneOptions {
  readonly catalog: readonly ServiceInfo[];
  readonly dataDir: string;
  readonly settings: ProcessConfig;
  /** Whether it makes issuer and certificate itself where `settings` name none. Default false. */
  readonly makesCertificate?: boolean;
  readonly env: Environment;
  /** Gets a line for a person whenever something takes long. */
  report(line: string): void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** All services in one process, on servers that it starts itself. `start` resolves once every service is up and set up. */
export interface Standalone extends Component {
  readonly folder: DataFolder;
  /** Where it serves, for this machine. After `start`. */
  addresses(): RpcAddresses;
  /** Who signed the certificate that it made itself: a file in PEM; `undefined` when it made none. */
  readonly caFile: string | undefined;
  /** As whom it runs. After `start`. */
  runsAs(): RunsAs;
  /** What the setups of the services have to show to whoever started it. After `start`. */
  firstSteps(): readonly SetupLine[];
}

/** Without a mail server, mails become files beside the data. */
const mailVariable = variableOf("", mailUrlField.name);

/**
 * How long the services may take to stop before their stores are stopped all the same, and how long after that, in
 * milliseconds. With what the stores take, all is stopped within 10 seconds.
 */
const servicesStopMsMax = 6_500;
const servicesEndMsMax = 1_000;

/** ACL user of this process on the events server: it publishes and consumes for all services. */
const processName = "muin";

/**
 * Runs the catalogue on one machine: leaves the rights of root, takes the data folder, starts PostgreSQL and the Redis servers with the databases, roles
 * and users that the declarations give rise to, runs all services, and has each set up what the installation needs of it. Throws at
 * once when the catalogue contradicts itself.
 */
export function createStandalone(options: StandaloneOptions): Standalone {
  const { catalog, clock } = options;
  const problems = checkCatalog(catalog);
  if (problems.length > 0) throw new Error(problems.join("; "));
  checkServing(options);
  const plan = topology(catalog);
  const folder = createDataFolder({ path: options.dataDir, random: options.random });
  const storesEnv: Record<string, string | undefined> = { ...options.env };
  const stores = createLocalStores({
    ...options,
    env: storesEnv,
    folder,
    redis: redisServers(plan, options),
    databases: plan.databases,
  });
  let started: { readonly muin: MuinProcess; shown: readonly SetupLine[] } | undefined;
  let runsAs: RunsAs = { user: "" };
  const stopped = new AbortController();
  let stopping: Promise<void> | undefined;
  const certificate = ownCertificate(options, folder);

  const start = async (): Promise<void> => {
    const own = await takeOwnAccount({ ...options, ...options.settings, signal: stopped.signal });
    ({ runsAs } = own);
    Object.assign(storesEnv, own.programs);
    stopped.signal.throwIfAborted();
    await folder.start();
    await certificate?.start();
    await stores.start();
    const env = await completeEnvironment(options.env, plan, folder);
    if (stopping !== undefined) throw new Error("Muin was stopped while it started");
    const muin = createMuinProcess({
      ...options,
      settings: withCertificate(options.settings, certificate),
      ...placesIn(plan, stores, folder),
      ...allOf(catalog),
      runsAs,
      env,
    });
    started = { muin, shown: [] };
    await muin.start();
    await muin.up;
    started.shown = await setUp(muin.services, { env, folder });
    await folder.announce({ ...addresses(), ...(certificate && { caFile: certificate.caFile }) });
  };
  const stopAll = async (): Promise<void> => {
    stopped.abort(new Error("Muin was stopped while it started"));
    const services = started?.muin.stop() ?? Promise.resolve();
    const ended = services.then(nothing, nothing);
    await timeout(clock, servicesStopMsMax, ended).catch(nothing); // They have had their time.
    await stores.stop(); // Whoever still waits for a store that stands still is told that it is gone.
    const inTime = await timeout(clock, servicesEndMsMax, ended).then(
      () => true,
      () => false,
    );
    await certificate?.stop();
    await folder.stop();
    if (!inTime) throw new Error("the services did not stop in time");
    await services;
  };
  const whenStarted = () => {
    if (started === undefined) throw new Error("Muin has not started");
    return started;
  };
  const addresses = (): RpcAddresses => addressesFromHere(whenStarted().muin.addresses());
  return {
    name: processName,
    folder,
    start,
    stop: () => (stopping ??= stopAll()),
    addresses,
    runsAs: () => runsAs,
    caFile: certificate?.caFile,
    firstSteps: () => whenStarted().shown,
  };
}

function nothing(): void {}

/** Throws `ConfigError` for settings with which both ports could not serve, or mails go out in plain text, before any server of the stores is started. */
function checkServing({ catalog, settings, env, makesCertificate = false, clock }: StandaloneOptions): void {
  const services = [processName, ...catalog.map(({ name }) => name)];
  const certificate = readCertificate(settings, { nowMs: clock.now(), services });
  const hasTls = makesCertificate || certificate !== undefined;
  checkListener({ ...settings, hasTls });
  checkOperatorListener({ ...settings, hasTls });
  checkMailUrl(env, settings);
}

function withCertificate(settings: ProcessConfig, certificate: LocalCertificate | undefined): ProcessConfig {
  if (certificate === undefined) return settings;
  return { ...settings, tlsCertFile: certificate.certFile, tlsKeyFile: certificate.keyFile };
}

/** The certificate that Muin makes itself, where it is told to and given none. */
function ownCertificate(options: StandaloneOptions, { path }: DataFolder): LocalCertificate | undefined {
  const { settings, makesCertificate, clock, log } = options;
  if (makesCertificate !== true || settings.tlsCertFile !== "") return undefined;
  return createLocalCertificate({ path, host: settings.host, clock, log });
}

/** A process of all services. */
function allOf(
  catalog: readonly ServiceInfo[],
): Pick<MuinProcessOptions, "name" | "services" | "serviceCallers" | "hasPeers" | "consumedTopics" | "askers"> {
  return {
    name: processName,
    services: catalog,
    serviceCallers: serviceCallersOf(catalog, processName),
    hasPeers: false,
    consumedTopics: (consumption) => consumedTopics(consumption, catalog),
    askers: (of) => askersOf(of, catalog),
  };
}

function addressesFromHere({ http, grpc, operator }: RpcAddresses): RpcAddresses {
  return { http: fromHere(http), grpc: fromHere(grpc), operator: fromHere(operator) };
}

/** An address as this machine reaches it: one that stands for all addresses is named by no certificate. */
function fromHere(address: string): string {
  return address.replace(/(^|\/)0\.0\.0\.0:/, "$1127.0.0.1:").replace(/(^|\/)\[::\]:/, "$1[::1]:");
}

/** The environment with what an installation gives its services where nobody said otherwise: secrets, and a place for mails. */
async function completeEnvironment(given: Environment, plan: Topology, folder: DataFolder): Promise<Environment> {
  const env: Record<string, string | undefined> = { ...given };
  if (env[`${mailVariable}_FILE`] === undefined) env[mailVariable] ??= pathToFileURL(join(folder.path, "mail")).href;
  for (const variable of missingSecrets(plan, env)) env[variable] = await folder.secret(variable);
  return env;
}

/** Secrets that a service must be given: the data folder makes them and keeps them. */
function missingSecrets({ services }: Topology, env: Environment): readonly string[] {
  return services.flatMap(({ settings }) =>
    settings
      .filter(({ isRequired, isSecret }) => isRequired && isSecret)
      .map(({ variable }) => variable)
      .filter((variable) => env[variable] === undefined && env[`${variable}_FILE`] === undefined),
  );
}

/** Where the process finds what it uses: on the servers of this installation, and nowhere else. */
function placesIn(
  plan: Topology,
  stores: LocalStores,
  folder: Pick<DataFolder, "serviceFolder">,
): Pick<
  MuinProcessOptions,
  | "personalDataHolders"
  | "eventsUrl"
  | "coordinationUrl"
  | "storeUrl"
  | "storePath"
  | "schemaUrl"
  | "grants"
  | "remote"
  | "localStores"
> {
  return {
    personalDataHolders: plan.personalDataHolders,
    eventsUrl: stores.redisUrl("events", processName),
    coordinationUrl: stores.redisUrl("events", processName),
    storeUrl: (info, store) => {
      const { kind, at, account } = declared(plan, info.name, store);
      return kind === "redis" ? stores.redisUrl(at, account) : stores.postgresUrl(at, account);
    },
    storePath: (info, store) => folder.serviceFolder(declared(plan, info.name, store).at),
    schemaUrl: (info, store) => {
      const { at } = declared(plan, info.name, store);
      return stores.postgresUrl(at, rightsOn(plan, at).schemaRole);
    },
    grants: ({ database }) => {
      const { dataRole, readers } = rightsOn(plan, database);
      return { dataRole, readers };
    },
    remote: (target) => {
      throw new Error(`${target.typeName} is in nobody's declaration`); // `checkCatalog` has refused it.
    },
    localStores: () => stores.status(),
  };
}

function declared({ services }: Topology, service: string, store: string): StoreTopology {
  const found = services.find(({ name }) => name === service)?.stores.find(({ name }) => name === store);
  if (found === undefined) throw new Error(`${service} declares no store "${store}"`);
  return found;
}

function rightsOn({ databases }: Topology, name: string): PostgresRights {
  const rights = databases.find(({ database }) => database === name);
  if (rights === undefined) throw new Error(`nobody owns database ${name}`);
  return rights;
}

/** The declared servers, and the events server. */
function redisServers(
  { redisServers: declared }: Topology,
  { catalog, settings }: Pick<StandaloneOptions, "catalog" | "settings">,
): readonly RedisServerSpec[] {
  const bytesMax = settings.redisMemoryBytesMax;
  const memoryBytesMax = bytesMax === 0 ? undefined : bytesMax;
  const servers = declared.map(({ name, durability, users }) => ({
    name,
    durable: durability === "durable",
    memoryBytesMax,
    users: users.map(({ user, rules }) => ({ name: user, rules })),
  }));
  const { server, user, rules } = eventsRights(processName, busUse(catalog, catalog));
  return [...servers, { name: server, durable: true, memoryBytesMax, users: [{ name: user, rules }] }];
}
