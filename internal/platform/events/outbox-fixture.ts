import { type Clock, systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { ApiKeyRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { migrate } from "../postgres/migrate.ts";
import { type OpenDatabase, openDatabase } from "../postgres/open-database.ts";
import { sharedPostgres, type TestPostgres } from "../testing/postgres.ts";
import { startRedis } from "../testing/redis.ts";
import type { TestBus } from "./contract/bus-fixture.ts";
import type { EventRecord } from "../service/event-record.ts";
import { createOutboxRelay, createPublish, type OutboxRelay } from "./outbox.ts";
import { connectBus, silentLog, silentMetrics } from "./redis/redis-broker-fixture.ts";
import { topicOf, topicsOf } from "./topics.ts";

/** The event of these tests; its aggregate's id is `apiKeyId`. */
export const schema = ApiKeyRevokedSchema;
export const topics = topicsOf([schema]);
export const traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
export const publish = createPublish<[typeof schema]>({
  source: "/muin/test",
  clock: systemClock,
  random: systemRandom,
  currentTraceparent: () => traceparent,
});

/** A database with outbox and inbox, and a table `keys (id, version)` of aggregates. */
export async function newDatabase(server?: TestPostgres): Promise<OpenDatabase & { readonly url: string }> {
  const url = await (server ?? (await sharedPostgres())).createDatabase();
  await migrate({ url, migrations: [], log: silentLog });
  const database = openDatabase({ url, applicationName: "test" });
  await database.sql`CREATE TABLE keys (id text PRIMARY KEY, version bigint NOT NULL)`;
  return { ...database, url };
}

/** A bus, to which outboxes are relayed. */
export interface RelayTarget extends AsyncDisposable {
  readonly bus: TestBus;
  readonly url: string;
  newRelay(database: OpenDatabase, service: string, how?: RelaySettings): OutboxRelay;
  /** What is stored of the service's aggregates, whose ids begin with its name, from now on; `stop` ends it. */
  watch(service: string): Promise<{ readonly seen: readonly EventRecord[]; stop(): Promise<void> }>;
}

/** What is unusual about a relay. */
export interface RelaySettings {
  readonly broker?: Pick<TestBus, "publish">;
  readonly createRelay?: typeof createOutboxRelay;
  readonly clock?: Clock;
}

/** Starts a bus with a server of its own. */
export async function startRelayTarget(): Promise<RelayTarget> {
  const redis = await startRedis({ appendfsync: "no" });
  const bus = connectBus(redis.url, { instance: "outbox", topics });
  await bus.start();
  return {
    bus,
    url: redis.url,
    newRelay: (database, service, { createRelay = createOutboxRelay, ...how } = {}) =>
      createRelay({
        service,
        database,
        broker: bus,
        leases: bus.leases,
        clock: systemClock,
        random: systemRandom,
        log: silentLog,
        metrics: silentMetrics,
        ...how,
      }),
    watch: async (service) => {
      const seen: EventRecord[] = [];
      const consumer = bus.subscribe({
        service,
        topic: topicOf(schema),
        types: [schema.typeName],
        kind: "everyInstance",
        onFailure: "skip",
        backMs: 0,
        attemptsMax: 1,
        handle: async (record) => void (record.subject.startsWith(service) && seen.push(record)),
      });
      await consumer.start();
      await consumer.caughtUp;
      return { seen, stop: () => consumer.stop() };
    },
    [Symbol.asyncDispose]: async () => {
      await bus.stop();
      await redis.stop();
    },
  };
}
