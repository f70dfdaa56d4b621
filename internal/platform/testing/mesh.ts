import { randomBytes } from "node:crypto";
import { chmod, mkdir } from "node:fs/promises";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import postgres from "postgres";
import { aclOf, environmentOf as storesEnvironmentOf, managedStores, sqlOf } from "../catalog/managed-stores.ts";
import { serviceSetting } from "../catalog/setting-names.ts";
import { topology, type ServiceTopology, type Topology } from "../catalog/topology.ts";
import { systemRandom } from "../clock/random.ts";
import { variableOf } from "../config/read-config.ts";
import { freePort } from "../local/free-port.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import { createMuinFolder, type MuinFolder } from "./muin.ts";
import { startPostgres, type TestPostgres } from "./postgres.ts";
import { startRedis, type TestRedis } from "./redis.ts";
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

/**
 * Starts the servers that a catalogue declares, with the accounts that `muin config stores` prints, and derives how each service finds
 * them. Starts no service.
 */
export async function startMesh(catalog: readonly ServiceInfo[]): Promise<TestMesh> {
  const plan = topology(catalog);
  const folder = await createMuinFolder();
  const secrets = join(folder.path, "secrets");
  await mkdir(secrets);
  // Processes that root starts go on as a user of their own, who writes its mails there.
  await mkdir(join(folder.path, "mail"));
  await chmod(join(folder.path, "mail"), 0o777);
  const server = await startPostgres();
  const managed = managedStores(catalog);
  const fill = createPasswords();
  await applySql(server.adminUrl, fill(sqlOf(managed)));
  const servers = managed.redisServers.filter(({ server }) => server !== "coordination");
  const redis = new Map(
    await Promise.all(
      servers.map(async (each) => [each.server, await startRedis({ acl: fill(aclOf(each)) })] as const),
    ),
  );
  const urls = new Map<string, string>();
  const operatorUrls = new Map<string, string>();
  for (const { name } of plan.services) {
    urls.set(name, `http://127.0.0.1:${await freePort(systemRandom)}`);
    operatorUrls.set(name, `http://127.0.0.1:${await freePort(systemRandom)}`);
  }

  const urlOf = (service: string): string => known(urls, service);
  const operatorUrlOf = (service: string): string => known(operatorUrls, service);
  /** What is printed for a service, with the addresses of these servers. */
  const printed = (service: ServiceTopology): Readonly<Record<string, string>> => {
    const lines = fill(storesEnvironmentOf(service, managed))
      .replaceAll("HOST:5432", new URL(server.adminUrl).host)
      .replaceAll("=/var/lib/muin/", `=${join(folder.path, "stores")}/`)
      .replaceAll(/HOST-([a-z-]+):6379/g, (_, name: string) => new URL(known(redis, name).url).host)
      .trimEnd()
      .split("\n");
    return Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
    );
  };
  const settingSecret = createSettingSecrets();
  const environmentOf = (service: ServiceTopology): Readonly<Record<string, string>> => ({
    MUIN_HTTP_PORT: new URL(urlOf(service.name)).port,
    MUIN_GRPC_PORT: "0",
    MUIN_OPERATOR_PORT: new URL(operatorUrlOf(service.name)).port,
    MUIN_LOG_LEVEL: "info",
    ...printed(service),
    MUIN_BOOTSTRAP_SECRET_FILE: join(secrets, service.name),
    MUIN_MAIL_URL: pathToFileURL(join(folder.path, "mail")).href,
    ...roomForSignUps,
    ...routes(plan, urlOf),
    ...Object.fromEntries(
      service.settings
        .filter(({ isRequired, isSecret }) => isRequired && isSecret)
        .map(({ variable }) => [variable, settingSecret(variable)]),
    ),
  });
  const environments = new Map(plan.services.map((service) => [service.name, environmentOf(service)]));
  return {
    topology: plan,
    folder,
    postgres: server,
    redis,
    url: urlOf,
    operatorUrl: operatorUrlOf,
    environment: (service) => known(environments, service),
    secretFile: (service) => join(secrets, service),
    storeUrl: (service, store) => {
      const found = plan.services.find(({ name }) => name === service)?.stores.find(({ name }) => name === store);
      if (found === undefined) throw new Error(`${service} declares no store "${store}"`);
      return known(environments, service)[found.variable] ?? "";
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([server, ...redis.values()].map((each) => each.stop()));
      await folder[Symbol.asyncDispose]();
    },
  };
}

/** Puts a password in the place of each {{name}}, the same for the same name. */
export function createPasswords(): (text: string) => string {
  const passwords = new Map<string, string>();
  const passwordOf = (name: string): string => {
    const password = passwords.get(name) ?? randomBytes(24).toString("base64url");
    passwords.set(name, password);
    return password;
  };
  return (text) => text.replaceAll(/\{\{([^}]+)\}\}/g, (_, name: string) => passwordOf(name));
}

/** Applies a script of psql as an account such as the managed servers of a cloud give: it makes roles and databases, and is no superuser. */
export async function applySql(adminUrl: string, script: string): Promise<void> {
  const url = new URL(adminUrl);
  const as = (database: string): postgres.Sql =>
    postgres(Object.assign(new URL(url), { pathname: `/${database}` }).href, { max: 1, onnotice: () => undefined });
  const admin = as("postgres");
  const password = randomBytes(24).toString("base64url");
  await admin.unsafe(`CREATE ROLE cloud LOGIN CREATEDB CREATEROLE PASSWORD '${password}'`);
  await admin.end();
  [url.username, url.password] = ["cloud", password];
  let sql = as("postgres");
  try {
    for (const line of script.split("\n")) {
      if (line === "" || line.startsWith("--")) continue;
      const database = /^\\connect "(.*)"$/.exec(line)?.[1];
      if (database === undefined) {
        await sql.unsafe(line);
        continue;
      }
      await sql.end();
      sql = as(database);
    }
  } finally {
    await sql.end();
  }
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

/** Gives each secret setting a value, the same to all services that share it. */
function createSettingSecrets(): (variable: string) => string {
  const values = new Map<string, string>();
  return (variable) => {
    const value = values.get(variable) ?? randomBytes(24).toString("base64url");
    values.set(variable, value);
    return value;
  };
}
