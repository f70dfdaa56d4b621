import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { variableOf, type Environment } from "../config/read-config.ts";
import { createDataFolder, type DataFolder } from "../local/data-folder.ts";
import { createLocalStores, type LocalStores } from "../local/local-stores.ts";
import type { RedisServerSpec } from "../local/redis-server.ts";
import { mailUrlField } from "../mail/mail-config.ts";
import type { RpcAddresses } from "../rpc/server/server.ts";
import type { Logger } from "../telemetry/logger.ts";
import { checkCatalog } from "../catalog/check-catalog.ts";
import type { Component } from "../lifecycle/component.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { createMuinProcess, type MuinProcess } from "./muin-process.ts";
import type { ProcessConfig } from "../catalog/process-config.ts";
import { eventsRights } from "../catalog/store-rights.ts";
import { topology, type StoreTopology, type Topology } from "../catalog/topology.ts";
import type { PostgresDecl } from "../service/stores.ts";

/** What a standalone Muin is made of. */
export interface StandaloneOptions {
  readonly catalog: readonly ServiceInfo[];
  readonly dataDir: string;
  readonly settings: ProcessConfig;
  readonly env: Environment;
  /** Gets a line for a person whenever something takes long. */
  report(line: string): void;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

/** All services in one process, on servers that it starts itself. `start` resolves once every service is up. */
export interface Standalone extends Component {
  readonly folder: DataFolder;
  /** Where it serves. After `start`. */
  addresses(): RpcAddresses;
  /** URL of a store as a service sees it. After `start`. */
  storeUrl(info: ServiceInfo, store: string): string;
  /** Settings of a service, as it sees them. After `start`. */
  readonly env: Environment;
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
 * Runs the catalogue on one machine: takes the data folder, starts PostgreSQL and the Redis servers with the databases, roles
 * and users that the declarations give rise to, and runs all services. Throws at once when the catalogue contradicts itself.
 */
export function createStandalone(options: StandaloneOptions): Standalone {
  const { catalog, clock, random, log } = options;
  const problems = checkCatalog(catalog);
  if (problems.length > 0) throw new Error(problems.join("; "));
  const folder = createDataFolder({ path: options.dataDir, random });
  const plan = topology(catalog);
  const stores: LocalStores = createLocalStores({
    folder,
    redis: redisServers(plan),
    databases: plan.databases,
    env: options.env,
    report: (line) => options.report(line),
    clock,
    random,
    log,
  });
  const storeUrl = (info: ServiceInfo, store: string): string => {
    const { kind, at, account } = declared(plan, info.name, store);
    return kind === "redis" ? stores.redisUrl(at, account) : stores.postgresUrl(at, account);
  };
  const rightsOn = (name: string) => {
    const rights = plan.databases.find(({ database }) => database === name);
    if (rights === undefined) throw new Error(`nobody owns database ${name}`);
    return rights;
  };
  const env: Record<string, string | undefined> = { ...options.env };
  let muin: MuinProcess | undefined;
  let isStopping = false;

  const stopAll = async (): Promise<void> => {
    isStopping = true;
    const services = muin?.stop() ?? Promise.resolve();
    await settles(services, servicesStopMsMax, clock);
    await stores.stop(); // Whoever still waits for a store that stands still is told that it is gone.
    const inTime = await settles(services, servicesEndMsMax, clock);
    await folder.stop();
    if (!inTime) throw new Error("the services did not stop in time");
    await services;
  };
  let stopping: Promise<void> | undefined;
  return {
    name: processName,
    folder,
    env,
    start: async () => {
      await folder.start();
      await stores.start();
      if (env[`${mailVariable}_FILE`] === undefined) {
        env[mailVariable] ??= pathToFileURL(join(folder.path, "mail")).href;
      }
      for (const variable of missingSecrets(plan, env)) env[variable] = await folder.secret(variable);
      if (isStopping) throw new Error("Muin was stopped while it started");
      muin = createMuinProcess({
        name: processName,
        services: catalog,
        personalDataHolders: plan.personalDataHolders,
        settings: options.settings,
        env,
        eventsUrl: stores.redisUrl("events", processName),
        coordinationUrl: stores.redisUrl("events", processName),
        storeUrl,
        schemaUrl: (info, store) => {
          const { at } = declared(plan, info.name, store);
          return stores.postgresUrl(at, rightsOn(at).schemaRole);
        },
        grants: ({ database }: PostgresDecl) => {
          const { dataRole, readers } = rightsOn(database);
          return { dataRole, readers };
        },
        remote: (target: DescService) => {
          throw new Error(`${target.typeName} is in nobody's declaration`); // `checkCatalog` has refused it.
        },
        localStores: () => stores.status(),
        clock,
        random,
        log,
      });
      await muin.start();
      await muin.up;
      await folder.announce(muin.addresses());
    },
    stop: () => (stopping ??= stopAll()),
    addresses: () => {
      if (muin === undefined) throw new Error("Muin has not started");
      return muin.addresses();
    },
    storeUrl,
  };
}

/** Whether `work` ends within `ms`, well or not. */
async function settles(work: Promise<unknown>, ms: number, clock: Clock): Promise<boolean> {
  const patience = new AbortController();
  try {
    return await Promise.race([
      work.then(
        () => true,
        () => true,
      ),
      clock.sleep(ms, patience.signal).then(
        () => false,
        () => false,
      ),
    ]);
  } finally {
    patience.abort();
  }
}

function declared({ services }: Topology, service: string, store: string): StoreTopology {
  const found = services.find(({ name }) => name === service)?.stores.find(({ name }) => name === store);
  if (found === undefined) throw new Error(`${service} declares no store "${store}"`);
  return found;
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

/** The declared servers, and the events server. */
function redisServers({ redisServers: declared }: Topology): readonly RedisServerSpec[] {
  const servers = declared.map(({ name, durability, users }) => ({
    name,
    durable: durability === "durable",
    users: users.map(({ user, rules }) => ({ name: user, rules })),
  }));
  const { server, user, rules } = eventsRights(processName);
  return [...servers, { name: server, durable: true, users: [{ name: user, rules }] }];
}
