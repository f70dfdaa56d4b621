import { expect, test } from "bun:test";
import { join } from "node:path";
import { create, fromBinary } from "@bufbuild/protobuf";
import { ApiKeyRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { UserDataErasedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { createRecord, topicsFrom } from "../events/topics.ts";
import { silentLog } from "../events/redis/redis-broker-fixture.ts";
import { everyInstance, group, type Consumption } from "../service/consumption.ts";
import { defineService, type ServiceInfo } from "../service/define-service.ts";
import { on, onMany, rebuilder } from "../service/parts.ts";
import { createTracing } from "../telemetry/tracing.ts";
import { importMutant } from "../testing/mutant.ts";
import * as real from "./subscriptions.ts";

const common = { service: "asker", version: "test", instance: "test", log: silentLog };
const tracing = createTracing({ endpoint: undefined, sampleRatio: 0, ...common });
const context = { clock: systemClock, random: systemRandom, traceparent: "" };

const bare: ServiceInfo = defineService({
  name: "asker",
  summary: "A service of the test.",
  serves: [],
  calls: {},
  stores: {},
  publishes: [],
  consumes: [],
  config: {},
  errors: {},
  personalData: "none",
  create: () => [],
});

/** What a consumer of the erasures of `one` and `two` hears when `one` publishes an event in the name of a service. */
async function heardOf({ subscriptionsOf }: typeof real, service: string): Promise<readonly string[]> {
  const info = { ...bare, consumes: [group(UserDataErasedSchema)] };
  const heard: string[] = [];
  const handled = [on(UserDataErasedSchema, async (event) => void heard.push(event.service))];
  const subscriptions = subscriptionsOf(info, handled, {
    tracing,
    consumedTopics: ({ schema }) => topicsFrom(schema, ["one", "two"]),
  });
  expect(subscriptions.map(({ topic }) => topic)).toEqual(["erasure.one", "erasure.two"]);
  const message = create(UserDataErasedSchema, { userId: "u", service });
  const record = createRecord(UserDataErasedSchema, message, { ...context, source: "/muin/one" });
  const delivery = { generation: 1, attempt: 1, signal: new AbortController().signal };
  await subscriptions[0]?.handle(record, delivery).catch((error: Error) => heard.push(error.message));
  return heard;
}

test("what each service tells on a topic of its own is heard from all of them, and in nobody else's name", async () => {
  expect(await heardOf(real, "one")).toEqual(["one"]);
  expect(await heardOf(real, "two")).toEqual([
    "muin.identity.v1.UserDataErased on erasure.one says that it is of another service",
  ]);
});

test("mutant: a consumer that takes the name in an event for true hears a service in another's name", async () => {
  const path = join(import.meta.dir, "subscriptions.ts");
  const broken = await importMutant<typeof real>(path, "if (isOnOwnTopic(schema, message, topic)) return", "return");
  expect(await heardOf(broken, "two")).toEqual(["two"]);
});

test("what a service does where events are removed unseen runs in each instance of a consumer that is one's own, not in a group", async () => {
  let dropped = 0;
  const own = rebuilder([ApiKeyRevokedSchema], async () => void dropped++);
  const wiring = { tracing, consumedTopics: () => ["identity.session"] };
  const other = rebuilder([ApiKeyRevokedSchema], async () => void dropped++);
  const of = (consumption: Consumption) =>
    real.subscriptionsOf(
      { ...bare, consumes: [consumption] },
      [on(ApiKeyRevokedSchema, () => Promise.resolve())],
      wiring,
      [own, other],
    )[0];
  await of(everyInstance(ApiKeyRevokedSchema))?.onTrimmed?.();
  expect(dropped).toBe(2);
  expect(of(group(ApiKeyRevokedSchema))).not.toHaveProperty("onTrimmed");
});

/** What a consumer that reads several events at once from their bytes subscribes to. */
const readTogether = (
  { subscriptionsOf }: typeof real,
  schema: typeof ApiKeyRevokedSchema | typeof UserDataErasedSchema,
) => {
  const heard: object[] = [];
  const read = (data: Uint8Array): object => ({ read: fromBinary(schema, data).$typeName });
  const handled = onMany(schema, read, async (events, delivery) => {
    for (const event of events) heard.push({ ...event, epoch: delivery.epochOf(event) });
  });
  const [subscription] = subscriptionsOf({ ...bare, consumes: [group(schema)] }, [handled], {
    tracing,
    consumedTopics: () => topicsFrom(schema, ["one"]),
  });
  return { subscription, heard };
};

test("several events are handled together as their consumer reads them, each with its epoch, and one alone as well", async () => {
  const { subscription, heard } = readTogether(real, ApiKeyRevokedSchema);
  const message = create(ApiKeyRevokedSchema, { apiKeyId: "k" });
  const record = createRecord(ApiKeyRevokedSchema, message, { ...context, source: "/muin/auth" });
  const delivery = { generation: 1, attempt: 1, signal: new AbortController().signal };
  await subscription?.handleTogether?.([record, { ...record, epoch: 2 }], delivery);
  await subscription?.handle({ ...record, epoch: 3 }, delivery);
  const name = "muin.identity.v1.ApiKeyRevoked";
  expect(heard).toEqual([0, 2, 3].map((epoch) => ({ read: name, epoch })));
});

test("a message that must say of which service it is cannot be read from its bytes alone", async () => {
  const refusal = "muin.identity.v1.UserDataErased has a topic of each service that publishes it";
  expect(() => readTogether(real, UserDataErasedSchema)).toThrow(refusal);
  const path = join(import.meta.dir, "subscriptions.ts");
  const broken = await importMutant<typeof real>(path, "topicOf(handler.schema);", "");
  expect(() => readTogether(broken, UserDataErasedSchema)).not.toThrow();
});
