import type { ServiceInfo } from "../service/define-service.ts";
import type { RedisDecl } from "../service/stores.ts";

/** A user of a Redis server and what its ACL lets it do. */
export interface RedisRights {
  readonly server: string;
  /** ACL user: the service's name. */
  readonly user: string;
  /** ACL rules as `ACL SETUSER` takes them, without password. */
  readonly rules: readonly string[];
}

/** The roles of one PostgreSQL database. */
export interface PostgresRights {
  readonly database: string;
  /** Owns the schema: migrations run as it, and nothing else. */
  readonly schemaRole: string;
  /** Reads and writes rows. */
  readonly dataRole: string;
  /** Roles of other services that may read published views. */
  readonly readers: readonly { readonly role: string; readonly views: readonly string[] }[];
}

/**
 * Without keys and needed by every client: to connect, to name itself, to be probed. SELECT is missing on purpose: there is
 * one database a server.
 */
const connectionCommands = ["+ping", "+hello", "+auth", "+client|setname", "+client|setinfo", "+client|id", "+info"];

/** ACL rules of a user who may enter, and nothing else. */
export const bareUser: readonly string[] = ["on", "resetchannels", "-@all", ...connectionCommands];

/** Classes of a store that is written. The commands that leak or touch keys of others stay out. */
const writerCommands =
  "+@read +@write +@scripting +@transaction +time -@dangerous -scan -randomkey -dbsize -flushall -flushdb -keys";

const readerCommands = "+@read +time -@dangerous -scan -randomkey -dbsize -keys";

/** What reads a vector set, and what writes one. */
const vectorReads = "+vsim +vcard +vdim +vinfo +vemb +vismember +vrange";
const vectorWrites = "+vadd +vrem";

/** The Redis users that a service's declaration gives rise to: one a server, with one selector a store. */
export function redisRights(info: ServiceInfo): readonly RedisRights[] {
  const byServer = new Map<string, RedisDecl[]>();
  for (const store of Object.values(info.stores)) {
    if (store.kind !== "redis") continue;
    byServer.set(store.server, [...(byServer.get(store.server) ?? []), store]);
  }
  return [...byServer].map(([server, stores]) => ({
    server,
    user: info.name,
    rules: [...bareUser, ...stores.flatMap(selectors)],
  }));
}

/** The roles of every database in the catalogue. */
export function postgresRights(catalog: readonly ServiceInfo[]): readonly PostgresRights[] {
  const stores = catalog.flatMap((info) => Object.values(info.stores).map((store) => ({ info, store })));
  return stores.flatMap(({ info, store }) =>
    store.kind === "postgres" && store.access === "owner"
      ? [
          {
            database: store.database,
            schemaRole: `${snake(info.name)}_schema`,
            dataRole: `${snake(info.name)}_data`,
            readers: stores.flatMap((other) =>
              other.store.kind === "postgres" &&
              other.store.access === "read-only" &&
              other.store.database === store.database
                ? [{ role: `${snake(other.info.name)}_reader`, views: other.store.views }]
                : [],
            ),
          },
        ]
      : [],
  );
}

/** The role with which a service uses a PostgreSQL store. */
export function postgresRole(info: ServiceInfo, access: "owner" | "read-only"): string {
  return `${snake(info.name)}_${access === "owner" ? "data" : "reader"}`;
}

function selectors(store: RedisDecl): readonly string[] {
  const written = store.keys.map((pattern) => `~${pattern}`).join(" ");
  const read = store.keys.map((pattern) => `%R~${pattern}`).join(" ");
  if (store.access === "read-write")
    return [`(${written} ${writerCommands}${store.vectorSets ? ` ${vectorReads} ${vectorWrites}` : ""})`];
  // Redis takes all commands of vector sets to write their key, those that only read too: they need a selector of their own.
  return [`(${read} ${readerCommands})`, ...(store.vectorSets ? [`(${written} ${vectorReads})`] : [])];
}

function snake(name: string): string {
  return name.replaceAll("-", "_");
}
