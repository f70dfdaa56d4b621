import { randomBytes } from "node:crypto";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { busUse } from "../catalog/bus-topics.ts";
import { serviceSetting } from "../catalog/setting-names.ts";
import { eventsRights } from "../catalog/bus-rights.ts";
import { topology, type ServiceTopology, type StoreTopology, type Topology } from "../catalog/topology.ts";
import { systemRandom } from "../clock/random.ts";
import { variableOf } from "../config/read-config.ts";
import { freePort } from "../local/free-port.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { createMuinFolder, type MuinFolder } from "./muin.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";
import { startRedis, type TestRedis, type TestRedisOptions } from "./redis.ts";
import { roomForSignUps } from "./sign-up.ts";

/** What the processes of a mesh stand on: servers of every declared store, and for each service the environment of its process. */
export interface TestMesh extends AsyncDisposable {
  readonly topology: Topology;
  readonly folder: MuinFolder;
  /** Holds the database of every service that has one. */
  readonly postgres: TestPostgres;
  /** By the name of the server; "events" among them. */
  readonly redis: ReadonlyMap<string, TestRedis>;
  /** Address of a service's HTTP port. */
  url(service: string): string;
  /** Address of its operator port. */
  operatorUrl(service: string): string;
  /** Environment of a service's process: its ports, stores, calls and secrets. */
  environment(service: string): Readonly<Record<string, string>>;
  /** File that the process of a service reads its bootstrap secret from; auth, once it runs, makes the secret. */
  secretFile(service: string): string;
  /** URL of a service's declared store. */
  storeUrl(service: string, store: string): string;
}

/** Starts the servers that a catalogue declares, and derives how each service finds them. Starts no service. */
export async function startMesh(catalog: readonly ServiceInfo[]): Promise<TestMesh> {
  const plan = topology(catalog);
  const folder = await createMuinFolder();
  const secrets = join(folder.path, "secrets");
  await mkdir(secrets);
  // Processes that root starts go on as a user of their own, who writes its mails there.
  await mkdir(join(folder.path, "mail"));
  await chmod(join(folder.path, "mail"), 0o777);
  const postgres = await startPostgres();
  const accounts = eventsAccounts(catalog);
  const names = [...plan.redisServers.map(({ name }) => name), "events"];
  const redis = new Map(
    await Promise.all(
      names.map(
        async (name) => [name, await startRedis(name === "events" ? { users: [...accounts.values()] } : {})] as const,
      ),
    ),
  );
  const databases = new Map<string, string>();
  for (const { database } of plan.databases) databases.set(database, await postgres.createDatabase(database));
  const urls = new Map<string, string>();
  const operatorUrls = new Map<string, string>();
  for (const { name } of plan.services) {
    urls.set(name, `http://127.0.0.1:${await freePort(systemRandom)}`);
    operatorUrls.set(name, `http://127.0.0.1:${await freePort(systemRandom)}`);
  }

  const urlOf = (service: string): string => known(urls, service);
  const operatorUrlOf = (service: string): string => known(operatorUrls, service);
  const urlOfStore = ({ kind, at }: StoreTopology): string =>
    kind === "postgres" ? known(databases, at) : known(redis, at).url;
  const environmentOf = (service: ServiceTopology): Readonly<Record<string, string>> => ({
    MUIN_HTTP_PORT: new URL(urlOf(service.name)).port,
    MUIN_GRPC_PORT: "0",
    MUIN_OPERATOR_PORT: new URL(operatorUrlOf(service.name)).port,
    MUIN_LOG_LEVEL: "info",
    MUIN_EVENTS_URL: urlAs(known(redis, "events"), known(accounts, service.name)),
    MUIN_BOOTSTRAP_SECRET_FILE: join(secrets, service.name),
    MUIN_MAIL_URL: pathToFileURL(join(folder.path, "mail")).href,
    ...roomForSignUps,
    ...routes(plan, urlOf),
    ...Object.fromEntries(service.stores.map((store) => [store.variable, urlOfStore(store)])),
    ...Object.fromEntries(
      service.settings
        .filter(({ isRequired, isSecret }) => isRequired && isSecret)
        .map(({ variable }) => [variable, randomBytes(24).toString("base64url")]),
    ),
  });
  const environments = new Map(plan.services.map((service) => [service.name, environmentOf(service)]));
  return {
    topology: plan,
    folder,
    postgres,
    redis,
    url: urlOf,
    operatorUrl: operatorUrlOf,
    environment: (service) => known(environments, service),
    secretFile: (service) => join(secrets, service),
    storeUrl: (service, store) => {
      const found = plan.services.find(({ name }) => name === service)?.stores.find(({ name }) => name === store);
      if (found === undefined) throw new Error(`${service} declares no store "${store}"`);
      return urlOfStore(found);
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([postgres, ...redis.values()].map((server) => server.stop()));
      await folder[Symbol.asyncDispose]();
    },
  };
}

type RedisUser = NonNullable<TestRedisOptions["users"]>[number];

/** The account of each service's process on the events server, with the rights that it has there, by service. */
function eventsAccounts(catalog: readonly ServiceInfo[]): ReadonlyMap<string, RedisUser> {
  return new Map(
    catalog.map((info) => {
      const { user, rules } = eventsRights(info.name, busUse([info], catalog));
      return [info.name, { name: user, password: randomBytes(24).toString("base64url"), rules }];
    }),
  );
}

function urlAs({ url }: TestRedis, { name, password }: RedisUser): string {
  const own = new URL(url);
  [own.username, own.password] = [name, password];
  return own.href;
}

/** Where each RPC service answers, and each holder of personal data: what a router would know. Every process may be told all of it. */
function routes(plan: Topology, urlOf: (service: string) => string): Readonly<Record<string, string>> {
  return Object.fromEntries([
    ...plan.services.flatMap(({ name, rpcServices }) => rpcServices.map(({ variable }) => [variable, urlOf(name)])),
    ...plan.personalDataHolders.map((name) => [variableOf("", serviceSetting(name)), urlOf(name)]),
  ]);
}

function known<T>(values: ReadonlyMap<string, T>, name: string): T {
  const value = values.get(name);
  if (value === undefined) throw new Error(`nothing is known of "${name}"`);
  return value;
}
