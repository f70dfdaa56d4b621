import { expect, test } from "bun:test";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { askersOf, consumedTopics, publishedTopics } from "../catalog/bus-topics.ts";
import { checkCatalog } from "../catalog/check-catalog.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { connectBus, silentLog } from "../events/redis/redis-broker-fixture.ts";
import { createRecord } from "../events/topics.ts";
import { group } from "../service/consumption.ts";
import { defineService, type ServiceInfo } from "../service/define-service.ts";
import { on, republisher } from "../service/parts.ts";
import { createMetrics } from "../telemetry/create-metrics.ts";
import { createTracing } from "../telemetry/tracing.ts";
import { eventually } from "../testing/eventually.ts";
import { importMutant } from "../testing/mutant.ts";
import { startRedis } from "../testing/redis.ts";
import * as real from "./compose-service.ts";

const common = { clock: systemClock, random: systemRandom, log: silentLog };
const topic = "identity.branch";
const bare = { serves: [], calls: {}, stores: {}, config: {}, errors: {}, personalData: "none" as const };

const path = (name: string): string => join(import.meta.dir, name);

/** Tells of branches, and of all of them again when it is asked. */
const owner = defineService({
  ...bare,
  name: "owner",
  summary: "Tells of branches.",
  publishes: [BranchUpdatedSchema],
  republishes: [BranchUpdatedSchema],
  consumes: [],
  create: ({ broker }) => [
    republisher([BranchUpdatedSchema], async () => {
      const ids = ["a", "b", "c"];
      await broker.publish(ids.map((branchId) => updated(branchId)));
      return ids.length;
    }),
  ],
});

function updated(branchId: string) {
  const message = create(BranchUpdatedSchema, { branchId, aggregateVersion: 1n });
  return createRecord(BranchUpdatedSchema, message, { ...common, source: "/muin/owner", traceparent: "" });
}

/** Knows the branches that it has heard of. */
function asker(known: Set<string>): ServiceInfo {
  return defineService({
    ...bare,
    name: "asker",
    summary: "Knows branches.",
    publishes: [],
    consumes: [group(BranchUpdatedSchema)],
    create: () => [on(BranchUpdatedSchema, async ({ branchId }) => void known.add(branchId))],
  });
}

/**
 * A consumer is away while the bus removes more than it had heard, the owner with it; both come back. Returns what it knows once it is not LOST any
 * more and all is handled, and what it asked for.
 */
async function loseAndHeal({ composeService }: Pick<typeof real, "composeService">) {
  await using server = await startRedis({ appendfsync: "no" });
  const known = new Set<string>();
  const catalog = [owner, asker(known)];
  expect(checkCatalog(catalog)).toEqual([]);
  const bus = connectBus(server.url, {
    instance: "test",
    partitions: 1,
    topics: catalog.flatMap(publishedTopics),
    topicBytesMax: 200_000,
  });
  await bus.start();
  const compose = (info: ServiceInfo) =>
    composeService(info, {
      ...common,
      broker: bus,
      leases: bus.leases,
      storeUrl: () => "",
      storePath: () => "",
      schemaUrl: () => "",
      config: () => ({}),
      transport: () => {
        throw new Error("nobody is called");
      },
      grants: () => ({}),
      personalData: () => ({ names: [], exportFrom: () => Promise.resolve(undefined) }),
      entryPasses: { verify: () => Promise.resolve("invalid") },
      consumedTopics: (consumption) => consumedTopics(consumption, catalog),
      askers: (of) => askersOf(of, catalog),
      metrics: createMetrics(),
      tracing: createTracing({
        endpoint: undefined,
        sampleRatio: 0,
        service: "test",
        version: "test",
        instance: "test",
        log: silentLog,
      }),
    });
  const first = compose(asker(new Set()));
  await first.start();
  await first.up;
  await bus.publish([updated("x")]);
  const stateOf = async () => (await bus.consumerGroups.states("asker")).find((state) => state.topic === topic);
  await eventually(async () => expect(await stateOf()).toMatchObject({ lag: 0 }));
  await first.stop();
  await bus.publish([updated("a"), updated("b"), updated("c")]);
  await eventually(
    async () => {
      await bus.publish(Array.from({ length: 500 }, () => updated("x")));
      const stop = new AbortController();
      const removed = await (async () => {
        let seen = 0;
        for await (const record of bus.tail(topic, { fromStart: true, signal: stop.signal })) {
          if (record.subject !== "x") return false;
          if (++seen > 4) return true;
        }
        return true;
      })();
      stop.abort();
      expect(removed).toBe(true);
    },
    { timeoutMs: 30_000 },
  );
  const services = catalog.map(compose);
  for (const service of services) await service.start();
  await Promise.all(services.map(({ up }) => up));
  await eventually(
    async () => expect(await stateOf()).toMatchObject({ lost: false, lostSinceMs: expect.any(Number) }),
    {
      timeoutMs: 20_000,
    },
  );
  await eventually(async () => {
    const states = await bus.consumerGroups.states();
    expect(states.every(({ lag, lost }) => lag === 0 && !lost)).toBe(true);
  });
  const result = { known: [...known].toSorted(), lostSinceMs: (await stateOf())?.lostSinceMs ?? 0 };
  for (const service of services) await service.stop();
  await bus.stop();
  return result;
}

test("a consumer of state that missed events asks for it by an event, is told it again, and is not LOST any more", async () => {
  const beforeMs = systemClock.now();
  const { known, lostSinceMs } = await loseAndHeal(real);
  expect(known).toEqual(["a", "b", "c", "x"]);
  expect(lostSinceMs).toBeGreaterThanOrEqual(beforeMs);
}, 60_000);

test.each([
  ["does not ask", "rebuild-lost.ts", "if (isState) await ask(topic, sinceMs);"],
  [
    "is not heard",
    "republish-requests.ts",
    "for (const republisher of asked) republished += await republisher.republish();",
  ],
])(
  "mutant: without a request that %s what was missed stays unknown",
  async (_, file, from) => {
    const entries = [path("service-work.ts"), path("compose-service.ts")];
    const mutant = await importMutant<typeof real>(path(file), from, "", entries);
    expect((await loseAndHeal(mutant)).known).toEqual(["x"]);
  },
  60_000,
);
