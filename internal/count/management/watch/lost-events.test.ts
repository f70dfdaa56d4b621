import { expect, test } from "bun:test";
import { create, fromBinary } from "@bufbuild/protobuf";
import { createClient, type Client } from "@connectrpc/connect";
import { CountCheckState, CountManagementService } from "../../../gen/muin/count/v1/count_management_service_pb.ts";
import { CountsChangedSchema } from "../../../gen/muin/count/v1/count_value_events_pb.ts";
import { composeService, type ComposedService } from "../../../platform/runtime/compose-service.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { readConfig } from "../../../platform/config/read-config.ts";
import { connectBus } from "../../../platform/events/redis/redis-broker-fixture.ts";
import { createRecord } from "../../../platform/events/topics.ts";
import { openRedis } from "../../../platform/redis/open-redis.ts";
import { planMethods } from "../../../platform/rpc/call/plan.ts";
import { createLocalLane } from "../../../platform/rpc/local/lane.ts";
import { createMetrics } from "../../../platform/telemetry/create-metrics.ts";
import { createTracing } from "../../../platform/telemetry/tracing.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { sharedPostgres } from "../../../platform/testing/postgres.ts";
import { startRedis } from "../../../platform/testing/redis.ts";
import { recordLayout } from "../../shared/count-store.ts";
import { keysOf, shardOf } from "../../shared/key-schema.ts";
import { countManagement } from "../definition.ts";

const silent = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };
const common = { clock: systemClock, random: systemRandom, log: silent };

/** The event that revision `revision` of Count "a", each an increment by one, makes. */
function changed(revision: number) {
  const message = create(CountsChangedSchema, {
    shard: "0",
    changes: [{ countId: "a", delta: 1n, value: BigInt(revision), revision: BigInt(revision) }],
  });
  return createRecord(CountsChangedSchema, message, { ...common, source: "/muin/count-write", traceparent: "" });
}

test("a watch whose events were removed before it saw them begins anew, and says since when", async () => {
  await using countsServer = await startRedis({ appendfsync: "no" });
  await using eventsServer = await startRedis({ appendfsync: "no" });
  const infoUrl = await (await sharedPostgres()).createDatabase();
  const counts = openRedis({ url: countsServer.url, name: "test" });
  await counts.start();
  await recordLayout(counts, { shards: 1, random: systemRandom });
  const bus = connectBus(eventsServer.url, {
    partitions: 1,
    instance: "test",
    topics: [
      { name: "count.info", retentionMs: 3_600_000 },
      { name: "count.value", retentionMs: 3_600_000 },
    ],
    topicBytesMax: 200_000,
  });
  await bus.start();

  const start = async (): Promise<{ service: ComposedService; client: Client<typeof CountManagementService> }> => {
    const service = composeService(countManagement, {
      ...common,
      broker: bus,
      leases: bus.leases,
      storePath: () => "",
      storeUrl: (_, store) => (store === "info" ? infoUrl : countsServer.url),
      schemaUrl: () => infoUrl,
      config: () => readConfig("MUIN_COUNT_MANAGEMENT", countManagement.config, {}),
      transport: () => {
        throw new Error("count-management calls nobody");
      },
      grants: () => ({}),
      consumedTopics: () => ["count.value"],
      askers: () => [],
      personalData: () => ({ names: [], exportFrom: () => Promise.resolve(undefined) }),
      entryPasses: { verify: () => Promise.resolve("invalid") },
      metrics: createMetrics(),
      tracing: createTracing({
        endpoint: undefined,
        sampleRatio: 0,
        service: "count-management",
        version: "test",
        instance: "test",
        log: silent,
      }),
    });
    await service.start();
    await service.up;
    const transport = createLocalLane(planMethods(service.served), {
      observer: { begin: () => ({ traceparent: undefined, end: () => {}, run: (work) => work() }) },
      log: silent,
    })({ kind: "api_key", id: "t", principal: "api_key:t", scopes: new Set(["counts.read", "counts.manage"]) });
    return { service, client: createClient(CountManagementService, transport) };
  };
  const setRevision = async (revision: number): Promise<void> => {
    const key = keysOf(shardOf("a", 1)).states;
    const bytes = (await counts.client.hgetBuffer(key, "a")) as Buffer;
    bytes.writeDoubleLE(revision, 1);
    bytes.writeDoubleLE(revision, 9);
    await counts.client.hset(key, "a", bytes);
  };

  const first = await start();
  await first.client.createCount({ countId: "a", initialValue: 1n });
  await bus.publish([changed(1), changed(2), changed(3)]);
  await setRevision(3);
  await eventually(async () => {
    const { checks } = await first.client.verifyCounts({});
    expect(checks).toMatchObject([{ state: CountCheckState.EQUAL, sum: 3n, sumRevision: 3n, sinceRevision: 0n }]);
  });
  await first.service.stop();

  // While it is away more happens than the bus keeps.
  let revision = 3;
  await eventually(
    async () => {
      await bus.publish(Array.from({ length: 500 }, () => changed((revision += 1))));
      const stop = new AbortController();
      for await (const record of bus.tail("count.value", { fromStart: true, signal: stop.signal })) {
        const { changes } = fromBinary(CountsChangedSchema, record.data);
        stop.abort();
        expect(Number(changes[0]?.revision)).toBeGreaterThan(10);
      }
    },
    { timeoutMs: 20_000 },
  );
  await setRevision(revision);

  const second = await start();
  const check = await eventually(async () => {
    const { checks } = await second.client.verifyCounts({});
    expect(checks).toMatchObject([{ state: CountCheckState.EQUAL, sumRevision: BigInt(revision) }]);
    return checks[0];
  });
  expect(check?.sinceRevision).toBe(BigInt(revision));
  expect((await bus.consumerGroups.states()).find(({ topic }) => topic === "count.value")).toMatchObject({
    lost: false,
  });
  await bus.publish([changed(revision + 1)]);
  await setRevision(revision + 1);
  await eventually(async () => {
    const { checks } = await second.client.verifyCounts({});
    expect(checks).toMatchObject([{ state: CountCheckState.EQUAL, sumRevision: BigInt(revision + 1) }]);
  });
  await second.service.stop();
  await bus.stop();
  await counts.stop();
}, 60_000);
