import { createClient, type Client } from "@connectrpc/connect";
import { fromBinary } from "@bufbuild/protobuf";
import { CountManagementService } from "../../gen/muin/count/v1/count_management_service_pb.ts";
import { CountCreatedSchema, type CountCreated } from "../../gen/muin/count/v1/count_info_events_pb.ts";
import type { ServiceDeps } from "../../platform/service/define-service.ts";
import type { ServicePart, Served } from "../../platform/service/parts.ts";
import { systemClock } from "../../platform/clock/clock.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { createPublish } from "../../platform/events/outbox.ts";
import { migrate } from "../../platform/postgres/migrate.ts";
import { openDatabase, type OpenDatabase } from "../../platform/postgres/open-database.ts";
import { openRedis, type OpenRedis } from "../../platform/redis/open-redis.ts";
import { planMethods } from "../../platform/rpc/call/plan.ts";
import { createLocalLane } from "../../platform/rpc/local/lane.ts";
import type { Logger } from "../../platform/telemetry/logger.ts";
import { createMetrics, type MetricsRegistry } from "../../platform/telemetry/create-metrics.ts";
import { sharedPostgres } from "../../platform/testing/postgres.ts";
import { startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import { createCountStates, type CountStates } from "../shared/count-states.ts";
import { recordLayout } from "../shared/count-store.ts";
import { countManagement } from "./definition.ts";

/** count-management on a PostgreSQL database and a counts Redis of its own. */
export interface ManagementFixture extends AsyncDisposable {
  readonly redis: TestRedis;
  readonly counts: OpenRedis;
  readonly states: CountStates;
  readonly info: OpenDatabase;
  readonly infoUrl: string;
  readonly metrics: MetricsRegistry;
  readonly parts: readonly ServicePart[];
  /** Calls the service as the API key `id`. */
  callerOf(id: string): Client<typeof CountManagementService>;
  /** As "tester". */
  readonly client: Client<typeof CountManagementService>;
  /** Records an event as the service does. */
  readonly publish: ServiceDeps["publish"];
  /** Events of count.info in the order in which they were recorded. */
  events(): Promise<readonly { readonly type: string; readonly event: CountCreated }[]>;
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

/** Shards of its counts Redis. */
export const fixtureShards = 4;

/** Settings of the service under test. */
const configDefault = { requestIdWindowMs: 600_000, sweepAgeMs: 300, outboxBytesMax: 256 * 1024 * 1024 };

/** Starts it, without background work: no relay moves the recorded events on, and no sweeper helps unseen. */
export async function startManagement(
  options: { readonly config?: Partial<typeof configDefault> } = {},
): Promise<ManagementFixture> {
  const [postgres, redis] = await Promise.all([sharedPostgres(), startRedis({ appendfsync: "no" })]);
  const url = await postgres.createDatabase();
  const store = Object.values(countManagement.stores).find((decl) => decl.kind === "postgres");
  if (store?.access !== "owner") throw new Error("count-management owns its database");
  await migrate({ url, migrations: store.migrations, log: silent });
  const info = openDatabase({ url, applicationName: "test", poolMax: 8 });
  const counts = openRedis({ url: redis.url, name: "test" });
  await Promise.all([info.start(), counts.start()]);
  await recordLayout(counts, { shards: fixtureShards, random: systemRandom });
  const metrics = createMetrics();
  const publish = createPublish({
    source: "/muin/count-management",
    clock: systemClock,
    random: systemRandom,
    currentTraceparent: () => "",
  });
  const parts = countManagement.create({
    calls: {},
    stores: { info, counts } as never, // Typed by the declaration.
    publish: publish as never,
    broker: { publish: () => Promise.reject(new Error("not used")) },
    leases: { leaseholder: () => ({ name: "none", start: async () => {}, stop: async () => {} }) },
    config: { ...configDefault, ...options.config },
    clock: systemClock,
    random: systemRandom,
    log: silent,
    metrics,
  });
  const served = parts.filter((part): part is Served => part.part === "served");
  const callerOf = (id: string): Client<typeof CountManagementService> =>
    createClient(
      CountManagementService,
      createLocalLane(planMethods(served), {
        observer: { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) },
        log: silent,
      })({
        kind: "api_key",
        id,
        principal: `api_key:${id}`,
        scopes: new Set(["counts.read", "counts.manage"]),
      }),
    );
  return {
    redis,
    counts,
    states: createCountStates(counts, { ...configDefault, ...options.config }),
    info,
    infoUrl: url,
    metrics,
    parts,
    callerOf,
    client: callerOf("tester"),
    publish,
    events: async () => {
      const rows = await info.sql<{ type: string; data: Uint8Array }[]>`
        SELECT type, data FROM platform.outbox WHERE topic = 'count.info' ORDER BY sequence`;
      return rows.map(({ type, data }) => ({
        type: type.slice(type.lastIndexOf(".") + 1),
        // The three messages have the same fields.
        event: fromBinary(CountCreatedSchema, data),
      }));
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all([info.stop(), counts.stop()]);
      await redis.stop();
    },
  };
}
