import { join } from "node:path";
import { pathToFileURL } from "node:url";
import type { DescService } from "@bufbuild/protobuf";
import type { Clock } from "../clock/clock.ts";
import type { Random } from "../clock/random.ts";
import { Secret } from "../config/fields.ts";
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
import type { PlatformConfig } from "./platform-config.ts";
import { eventsRights, postgresRights, postgresRole, redisRights } from "../catalog/store-rights.ts";
import type { PostgresDecl, RedisServerName, StoreDecl } from "../service/stores.ts";

/** What a standalone Muin is made of. */
export interface StandaloneOptions {
  readonly catalog: readonly ServiceInfo[];
  readonly dataDir: string;
  readonly settings: PlatformConfig;
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
  const databases = postgresRights(catalog);
  const stores: LocalStores = createLocalStores({
    folder,
    redis: redisServers(catalog),
    databases,
    env: options.env,
    report: (line) => options.report(line),
    clock,
    random,
    log,
  });
  const storeUrl = (info: ServiceInfo, store: string): string => {
    const decl = declared(info, store);
    return decl.kind === "redis"
      ? stores.redisUrl(decl.server, info.name)
      : stores.postgresUrl(decl.database, postgresRole(info, decl.access));
  };
  const rightsOn = (decl: PostgresDecl) => {
    const rights = databases.find(({ database }) => database === decl.database);
    if (rights === undefined) throw new Error(`no rights were derived for database ${decl.database}`);
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
      for (const variable of missingSecrets(catalog, env)) env[variable] = await folder.secret(variable);
      if (isStopping) throw new Error("Muin was stopped while it started");
      muin = createMuinProcess({
        name: processName,
        services: catalog,
        settings: options.settings,
        env,
        eventsUrl: stores.redisUrl("events", processName),
        storeUrl,
        schemaUrl: (info, store) => {
          const decl = declared(info, store);
          if (decl.kind !== "postgres" || decl.access !== "owner") throw new Error(`${store} has no schema`);
          return stores.postgresUrl(decl.database, rightsOn(decl).schemaRole);
        },
        grants: (decl) => ({ dataRole: rightsOn(decl).dataRole, readers: rightsOn(decl).readers }),
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

function declared(info: ServiceInfo, store: string): StoreDecl {
  const decl = info.stores[store];
  if (decl === undefined) throw new Error(`${info.name} declares no store "${store}"`);
  return decl;
}

/** Any text that a field of a secret accepts. */
const sampleSecret = "x".repeat(32);

/** Secrets that a service must be given: the data folder makes them and keeps them. */
function missingSecrets(catalog: readonly ServiceInfo[], env: Environment): readonly string[] {
  return catalog.flatMap((info) =>
    Object.values(info.config)
      .filter((field) => field.default === undefined && field.parse(sampleSecret) instanceof Secret)
      .map((field) => variableOf(info.name, field.name))
      .filter((variable) => env[variable] === undefined && env[`${variable}_FILE`] === undefined),
  );
}

/** One server per name in use, and the events server. The cache keeps nothing that matters. */
function redisServers(catalog: readonly ServiceInfo[]): readonly RedisServerSpec[] {
  const rights = [...catalog.flatMap(redisRights), eventsRights(processName)];
  const names = [...new Set(rights.map(({ server }) => server))].toSorted();
  return names.map((name: RedisServerName) => ({
    name,
    durable: name !== "cache",
    users: rights.filter(({ server }) => server === name).map(({ user, rules }) => ({ name: user, rules })),
  }));
}
