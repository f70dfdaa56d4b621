import { fromBinary } from "@bufbuild/protobuf";
import { CountsChangedSchema } from "../../internal/gen/muin/count/v1/count_value_events_pb.ts";
import { openBroker } from "../../internal/platform/events/open-broker.ts";
import { topicOf, topicsOf } from "../../internal/platform/events/topics.ts";
import { openLeases } from "../../internal/platform/lease/open-leases.ts";
import { openRedis } from "../../internal/platform/redis/open-redis.ts";
import { serveChild } from "../harness/child.ts";
import { benchDeps, createBenchRelay } from "./write-path.ts";

/** A running relay with one consumer behind it. */
export interface RunningRelay {
  /** Changes that the consumer has received and decoded, over all Counts. */
  received(): number;
  close(): Promise<void>;
}

/** Starts the relay of the counts store at `countsUrl`, its broker, and a consumer that decodes every change. */
export async function openRelay(countsUrl: string, eventsUrl: string): Promise<RunningRelay> {
  const store = openRedis({ url: countsUrl, name: "bench-relay" });
  await store.start();
  const deps = benchDeps();
  const instance = crypto.randomUUID();
  const leases = openLeases(eventsUrl, { instance, ...deps });
  await leases.start();
  const broker = openBroker(eventsUrl, {
    coordinationUrl: eventsUrl,
    leases,
    partitions: 4,
    instance,
    topics: topicsOf([CountsChangedSchema]),
    ...deps,
  });
  await broker.start();
  const relay = await createBenchRelay(store, broker, leases);
  let received = 0;
  const consumer = broker.subscribe({
    service: "bench",
    topic: topicOf(CountsChangedSchema),
    types: [CountsChangedSchema.typeName],
    kind: "group",
    onFailure: "skip",
    backMs: 0,
    attemptsMax: 1,
    handle: async ({ data }) => {
      received += fromBinary(CountsChangedSchema, data).changes.length;
    },
  });
  await consumer.start();
  await relay.start();
  return {
    received: () => received,
    close: async () => {
      await relay.stop();
      await consumer.stop();
      await broker.stop();
      await leases.stop();
      await store.stop();
    },
  };
}

/** What this process is told on its command line. */
export interface RelayOptions {
  readonly countsUrl: string;
  readonly eventsUrl: string;
}

/** As a process of its own, it answers whatever it is asked with what was received so far. */
if (import.meta.main) {
  await serveChild(async ({ countsUrl, eventsUrl }: RelayOptions) => {
    const relay = await openRelay(countsUrl, eventsUrl);
    return { greeting: "", answer: () => Promise.resolve(relay.received()), close: () => relay.close() };
  });
}
