import { coordinationRights, eventsRights } from "./bus-rights.ts";
import { busUse } from "./bus-topics.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { PostgresRights, RedisRights } from "./store-rights.ts";
import { topology, type ServiceTopology, type StoreTopology } from "./topology.ts";

/** A Redis server as somebody else must run it. */
export interface ManagedRedis {
  readonly server: string;
  /** What it is for, in a sentence. */
  readonly purpose: string;
  /** Lines of redis.conf. */
  readonly settings: readonly string[];
  readonly users: readonly RedisRights[];
}

/** What the processes of a mesh need of servers that Muin does not run itself. */
export interface ManagedStores {
  readonly databases: readonly PostgresRights[];
  readonly redisServers: readonly ManagedRedis[];
  readonly services: readonly ServiceTopology[];
}

const durableSettings = ["appendonly yes", "appendfsync always", "maxmemory-policy noeviction"];
const cacheSettings = ["appendonly no", "maxmemory 128mb", "maxmemory-policy allkeys-lru"];

/** Derives what a catalogue needs of managed servers, with an account of its own for the process of each service. */
export function managedStores(catalog: readonly ServiceInfo[]): ManagedStores {
  const { databases, redisServers, services } = topology(catalog);
  const uses = catalog.map((info) => ({ name: info.name, use: busUse([info], catalog) }));
  return {
    databases,
    redisServers: [
      ...redisServers.map(({ name, durability, users }) => ({
        server: name,
        purpose: durability === "durable" ? "a store that must lose nothing" : "a cache, which may be emptied",
        settings: durability === "durable" ? durableSettings : cacheSettings,
        users,
      })),
      {
        server: "events",
        purpose: "the events, and the leases and nonces where MUIN_COORDINATION_URL is not given: it must lose nothing",
        settings: durableSettings,
        users: uses.map(({ name, use }) => eventsRights(name, use)),
      },
      {
        server: "coordination",
        purpose: "the leases and nonces, where MUIN_COORDINATION_URL names a server that is not that of the events",
        settings: durableSettings,
        users: uses.map(({ name, use }) => coordinationRights(name, use)),
      },
    ],
    services,
  };
}

/** Stands for the password of a PostgreSQL role. */
function rolePassword(role: string): string {
  return `{{postgres/${role}}}`;
}

/** Stands for the password of a user of a Redis server. */
function userPassword({ server, user }: Pick<RedisRights, "server" | "user">): string {
  return `{{redis/${server}/${user}}}`;
}

/**
 * Roles, databases and grants as psql takes them, for a role that may make roles and databases and need not be a superuser. To be
 * run once. Rights on tables and views are given by each service as it migrates.
 */
export function sqlOf({ databases }: Pick<ManagedStores, "databases">): string {
  const roles = [
    ...new Set(
      databases.flatMap(({ schemaRole, dataRole, readers }) => [schemaRole, dataRole, ...readers.map(roleOf)]),
    ),
  ];
  return [
    ...roles.map(
      (role) => `CREATE ROLE "${role}" LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE PASSWORD '${rolePassword(role)}';`,
    ),
    ...databases.flatMap(({ database, schemaRole, dataRole, readers }) => [
      "",
      `GRANT "${schemaRole}" TO CURRENT_USER;`,
      `CREATE DATABASE "${database}" OWNER "${schemaRole}";`,
      `REVOKE ALL ON DATABASE "${database}" FROM PUBLIC;`,
      ...[dataRole, ...readers.map(roleOf)].map((role) => `GRANT CONNECT ON DATABASE "${database}" TO "${role}";`),
      `\\connect "${database}"`,
      `ALTER SCHEMA public OWNER TO "${schemaRole}";`,
      "REVOKE ALL ON SCHEMA public FROM PUBLIC;",
      `REVOKE "${schemaRole}" FROM CURRENT_USER;`,
    ]),
    "",
    "-- Where you are a superuser: REVOKE ALL ON DATABASE postgres, template1 FROM PUBLIC;",
    "",
  ].join("\n");
}

/** The users of a Redis server as lines of its ACL file; after `ACL SETUSER` instead of `user`, they are commands. */
export function aclOf({ users }: Pick<ManagedRedis, "users">): string {
  return users.map((one) => `user ${one.user} reset ${one.rules.join(" ")} >${userPassword(one)}\n`).join("");
}

/**
 * The settings by which the process of a service finds its stores, as lines of its environment. HOST stands for each server's; a folder
 * may lie elsewhere, one for each process.
 */
export function environmentOf(
  { name, stores }: Pick<ServiceTopology, "name" | "stores">,
  { databases }: ManagedStores,
): string {
  const lines = stores.flatMap((store) => {
    if (store.kind === "folder") return [`${store.variable}=/var/lib/muin/${store.at}`];
    if (store.kind === "redis") return [`${store.variable}=${redisUrl(store.at, store.account)}`];
    const line = `${store.variable}=${postgresUrl(store, store.account)}`;
    const schemaRole = databases.find(({ database }) => database === store.at)?.schemaRole;
    if (store.schemaVariable === undefined || schemaRole === undefined) return [line];
    return [line, `${store.schemaVariable}=${postgresUrl(store, schemaRole)}`];
  });
  return [...lines, `MUIN_EVENTS_URL=${redisUrl("events", name)}`, ""].join("\n");
}

function postgresUrl({ at }: StoreTopology, role: string): string {
  return `postgres://${role}:${rolePassword(role)}@HOST:5432/${at}`;
}

function redisUrl(server: string, user: string): string {
  return `redis://${user}:${userPassword({ server, user })}@HOST-${server}:6379`;
}

function roleOf({ role }: { readonly role: string }): string {
  return role;
}
