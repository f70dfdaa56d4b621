import { createSequence, type Component } from "../lifecycle/component.ts";
import { createTogether } from "../lifecycle/together.ts";
import { createOwnFolder } from "../local/own-folder.ts";
import { migrate } from "../postgres/migrate.ts";
import { openDatabase, openReadOnlyDatabase, type OpenDatabase } from "../postgres/open-database.ts";
import { openRedis, openRedisReader } from "../redis/open-redis.ts";
import type { ServiceInfo } from "../service/define-service.ts";
import type { Folder, StoreDecl } from "../service/stores.ts";
import { startAlone } from "./start-alone.ts";
import type { Wiring } from "./wiring.ts";

/** A store as a running service holds it. */
export interface OpenStore {
  /** Name in the declaration. */
  readonly name: string;
  readonly decl: StoreDecl;
  /** What the service gets for it. */
  readonly handle: unknown;
  /** Why it cannot be used, or `undefined` when it answered. */
  probe(): Promise<string | undefined>;
}

/** The stores of a service. They connect with `start`, which does not wait for one that is away, and fails when a folder cannot be held. */
export interface OpenStores extends Component {
  /** In the order of the declaration. */
  readonly all: readonly OpenStore[];
  /** The database that the service owns, with its outbox and inbox; `undefined` when it owns none. */
  readonly database: OpenDatabase | undefined;
  /** Brings the schema of the service's own databases up to date. Rejects with MuinError `unavailable` while one is away. */
  migrate(): Promise<void>;
}

/** Connections in a service's PostgreSQL pool. */
const databasePoolMax = 8;

/** Opens every declared store. Nothing connects before `start`. */
export function openStores(info: ServiceInfo, wiring: Wiring): OpenStores {
  const opened = Object.entries(info.stores).map(([name, decl]) => openStore(info, name, decl, wiring));
  const sequence = createSequence(
    `stores of ${info.name}`,
    info.standsAlone ? alone(opened, wiring) : opened.map(componentOf),
  );
  return {
    ...sequence,
    all: opened,
    database: opened.find(({ database }) => database !== undefined)?.database,
    migrate: async () => {
      for (const { name, decl } of opened) {
        if (decl.kind !== "postgres" || decl.access !== "owner") continue;
        const { migrations } = decl;
        const url = wiring.schemaUrl(info, name);
        await migrate({ url, migrations, log: wiring.log, ...wiring.grants(decl) });
      }
    },
  };
}

/** The stores of a service that stands alone: its folders must be there, and nobody waits for servers. */
function alone(
  opened: readonly { readonly decl: StoreDecl; readonly component: Component }[],
  { clock, log }: Pick<Wiring, "clock" | "log">,
): readonly Component[] {
  const isFolder = ({ decl }: (typeof opened)[number]): boolean => decl.kind === "folder";
  const servers = opened.filter((store) => !isFolder(store)).map(componentOf);
  return [
    ...opened.filter(isFolder).map(componentOf),
    createTogether(
      "servers",
      servers.map((server) => startAlone(server, { clock, log })),
    ),
  ];
}

function componentOf({ component }: { readonly component: Component }): Component {
  return component;
}

function openStore(info: ServiceInfo, name: string, decl: StoreDecl, wiring: Wiring) {
  const opened = { name, decl, database: undefined };
  if (decl.kind === "folder") {
    const folder = createOwnFolder(wiring.storePath(info, name));
    return {
      ...opened,
      handle: { path: folder.path } satisfies Folder,
      component: folder,
      probe: () => folder.probe(),
    };
  }
  const url = wiring.storeUrl(info, name);
  if (decl.kind === "redis") {
    const options = { url, name: `${info.name}/${name}`, clock: wiring.clock, log: wiring.log };
    const redis = decl.access === "read-write" ? openRedis(options) : openRedisReader(options);
    return { ...opened, handle: redis, component: redis, probe: () => redis.probe() };
  }
  const options = { url, poolMax: databasePoolMax, applicationName: `muin-${info.name}`, metrics: wiring.metrics };
  if (decl.access === "read-only") {
    const database = openReadOnlyDatabase(options);
    return { ...opened, handle: database, component: database, probe: () => database.probe() };
  }
  const database = openDatabase(options);
  return { ...opened, handle: database, component: database, database, probe: () => database.probe() };
}
