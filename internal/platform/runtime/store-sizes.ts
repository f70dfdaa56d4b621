import type { Clock } from "../clock/clock.ts";
import { type Component, createSequence } from "../lifecycle/component.ts";
import { createLoop } from "../lifecycle/loop.ts";
import type { Database } from "../postgres/database.ts";
import { readTableSizes } from "../postgres/table-sizes.ts";
import { readMemory } from "../redis/memory.ts";
import { openRedisReader } from "../redis/open-redis.ts";
import type { RedisReader } from "../redis/redis-store.ts";
import type { Logger } from "../telemetry/logger.ts";
import type { Metrics } from "../telemetry/metrics.ts";
import type { ComposedService } from "./compose-service.ts";

/** So often the memory of Redis servers is looked at, and every so many looks the sizes of tables. */
const everyMs = 10_000;
const looksPerTables = 6;
/** From this part of its memory on, in percent, a server that refuses writes beyond it is told of. */
const fullPercent = 90;

/** A Redis server by its name. */
export interface NamedRedis {
  readonly server: string;
  readonly redis: Pick<RedisReader, "client">;
}

/** What the stores of a process hold. */
export interface StoreSizes extends Component {
  /** Which Redis servers are about to refuse writes, for people, as of the last look. */
  reasons(): readonly string[];
}

/**
 * Measures what the stores of a process hold: rows and bytes of each table of its services, and the memory of each Redis server. A store
 * that is away keeps its last figures; its own probe tells.
 */
export function createStoreSizes(options: {
  readonly services: readonly Pick<ComposedService, "info" | "stores">[];
  /** Redis servers beside those of the services. */
  readonly others: readonly NamedRedis[];
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics: Metrics;
}): StoreSizes {
  const { services, clock, log, metrics } = options;
  const gauge = <L extends string>(name: string, help: string, labels: readonly L[]) =>
    metrics.gauge({ name, help, labels });
  const rows = gauge("table_rows", "Rows of a table, as the database estimates them.", ["service", "table"]);
  const bytes = gauge("table_bytes", "Bytes of a table with its indexes.", ["service", "table"]);
  const used = gauge("redis_used_bytes", "Memory that a Redis server uses.", ["server"]);
  const max = gauge("redis_max_bytes", "Memory that a Redis server may use; 0: no bound.", ["server"]);
  const servers = new Map(options.others.map(({ server, redis }) => [server, redis]));
  for (const { server, redis } of services.flatMap(redisOf)) servers.set(server, redis);
  const full = new Map<string, string>();
  let looks = 0;

  const lookAtServer = async (server: string, redis: NamedRedis["redis"]): Promise<void> => {
    const { usedBytes, maxBytes, evicts } = await readMemory(redis.client);
    used.set(usedBytes, { server });
    max.set(maxBytes, { server });
    const percent = maxBytes === 0 ? 0 : Math.floor((usedBytes / maxBytes) * 100);
    if (evicts || percent < fullPercent) return void full.delete(server);
    if (!full.has(server)) log.warn("a Redis server is about to refuse writes", { server, usedBytes, maxBytes });
    full.set(
      server,
      `redis ${server}: ${percent} % of its memory is used, ${usedBytes} of ${maxBytes} bytes; beyond it writes are refused`,
    );
  };
  const lookAtTables = async ({ info, stores }: (typeof services)[number]): Promise<void> => {
    for (const { decl, handle } of stores) {
      if (decl.kind !== "postgres" || decl.access !== "owner") continue;
      for (const size of await readTableSizes(handle as Database)) {
        const labels = { service: info.name, table: size.table };
        rows.set(size.rows, labels);
        bytes.set(size.bytes, labels);
      }
    }
  };
  const loop = createLoop({
    name: "store sizes",
    clock,
    everyMs,
    work: async () => {
      const tables = looks % looksPerTables === 0 ? services.map(lookAtTables) : [];
      looks += 1;
      // What is away is told by its own probe.
      await Promise.allSettled([...[...servers].map(([server, redis]) => lookAtServer(server, redis)), ...tables]);
    },
    onFailure: (error) => log.warn("stores could not be measured", { err: error }),
  });
  return { ...loop, reasons: () => [...full.values()] };
}

/** The Redis servers of a service. */
function redisOf({ stores }: Pick<ComposedService, "stores">): readonly NamedRedis[] {
  return stores.flatMap(({ decl, handle }) =>
    decl.kind === "redis"
      ? [
          {
            server: decl.role === "replica" ? `${decl.server} replica` : decl.server,
            redis: handle as NamedRedis["redis"],
          },
        ]
      : [],
  );
}

/** As `createStoreSizes`, with the servers of the bus, over connections of its own. */
export function openStoreSizes(
  urls: { readonly eventsUrl: string; readonly coordinationUrl: string },
  options: Omit<Parameters<typeof createStoreSizes>[0], "others"> & { readonly instance: string },
): StoreSizes {
  const { eventsUrl, coordinationUrl } = urls;
  const open = (server: string, url: string) => ({
    server,
    redis: openRedisReader({ ...options, url, name: `sizes ${options.instance}` }),
  });
  const others = [
    open("events", eventsUrl),
    ...(coordinationUrl === eventsUrl ? [] : [open("coordination", coordinationUrl)]),
  ];
  const sizes = createStoreSizes({ ...options, others });
  const parts = createSequence("store sizes", [...others.map(({ redis }) => redis), sizes]);
  return { ...sizes, ...parts };
}
