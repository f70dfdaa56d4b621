import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { create, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { FaceVectorCreatedSchema, FaceVectorErasedSchema } from "../../gen/muin/face/v1/enrolment_events_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { EnrolmentRecordService } from "../../gen/muin/identity/v1/enrolment_record_service_pb.ts";
import { Role, UserStatus } from "../../gen/muin/identity/v1/user_pb.ts";
import { UserStatusChangedSchema, UserUpdatedSchema } from "../../gen/muin/identity/v1/user_events_pb.ts";
import type { Handled } from "../../platform/service/parts.ts";
import { subscriptionsOf } from "../../platform/runtime/subscriptions.ts";
import type { TestBus } from "../../platform/events/contract/bus-fixture.ts";
import { connectBus } from "../../platform/events/redis/redis-broker-fixture.ts";
import { createRecord, topicOf, topicsOf } from "../../platform/events/topics.ts";
import { systemRandom } from "../../platform/clock/random.ts";
import { createTracing } from "../../platform/telemetry/tracing.ts";
import { eventually } from "../../platform/testing/eventually.ts";
import { startRedis, type TestRedis } from "../../platform/testing/redis.ts";
import { personOfToken, startAuth, type AuthFixture } from "./auth-fixture.ts";
import { auth as definition } from "./definition.ts";

setDefaultTimeout(30_000);

const ada = { email: "ada@example.org", password: "correct horse battery" };
const topics = topicsOf(definition.consumes.map(({ schema }) => schema));

let redis: TestRedis;
beforeAll(async () => {
  redis = await startRedis();
});
afterAll(() => redis.stop());

/** Auth, consuming from a real bus what its declaration says. */
async function startConsuming(auth: AuthFixture): Promise<AsyncDisposable & { readonly bus: TestBus }> {
  const bus = connectBus(redis.url, { instance: systemRandom.uuid(), topics });
  const { log } = auth;
  const tracing = createTracing({ endpoint: "", sampleRatio: 0, service: "auth", version: "0", instance: "1", log });
  const handled = auth.parts.filter((part): part is Handled => part.part === "handled");
  const wiring = { tracing, consumedTopics: ({ schema }: { readonly schema: DescMessage }) => [topicOf(schema)] };
  const consumers = subscriptionsOf(definition, handled, wiring).map((subscription) => bus.subscribe(subscription));
  await bus.start();
  for (const consumer of consumers) await consumer.start();
  return {
    bus,
    [Symbol.asyncDispose]: async () => {
      for (const consumer of consumers) await consumer.stop();
      await bus.stop();
    },
  };
}

test("what user, branch-owner and mlops publish takes effect once and in order, also what was published before auth came", async () => {
  await using auth = await startAuth();
  const { userId, tokens } = await auth.signUp(ada);
  const context = { source: "/test", clock: auth.clock, random: systemRandom, traceparent: "" };
  const recorded = <M extends DescMessage>(schema: M, init: MessageInitShape<M>) =>
    createRecord(schema, create(schema, init), context);
  const consent = { textVersion: "3", time: timestampFromMs(1000) };
  const early = [
    recorded(BranchCreatedSchema, { branchId: "b1", branch: { ownerId: "owner-1" }, aggregateVersion: 1n }),
    recorded(FaceVectorCreatedSchema, {
      enrolmentId: "e1",
      memberId: userId,
      modelId: "arc-1",
      consent,
      aggregateVersion: 1n,
    }),
    recorded(UserUpdatedSchema, { userId, roleAssignments: [{ role: Role.ADMINISTRATOR }], aggregateVersion: 1n }),
  ];
  const before = connectBus(redis.url, { instance: "publisher", topics });
  await before.start();
  await before.publish(early);
  await before.stop();

  await using consuming = await startConsuming(auth);
  const records = auth.as(EnrolmentRecordService, { caller: personOfToken(tokens?.accessToken ?? "") });
  const state = async (): Promise<unknown> => {
    const [branch] = await auth.database.sql<{ owner_id: string }[]>`SELECT owner_id FROM branches`;
    const { enrolmentRecords } = await records.listEnrolmentRecords({});
    const roles = await auth.database.sql<{ role: string }[]>`SELECT role FROM role_assignments ORDER BY role`;
    const sessions = await auth.database.sql`SELECT 1 FROM sessions WHERE end_time IS NULL`;
    return {
      owner: branch?.owner_id,
      faces: enrolmentRecords.map(({ modelId, eraseTime }) => [modelId, eraseTime !== undefined]),
      roles: roles.map(({ role }) => role),
      sessions: sessions.length,
    };
  };
  await eventually(async () => {
    expect(await state()).toEqual({
      owner: "owner-1",
      faces: [["arc-1", false]],
      roles: ["administrator"],
      sessions: 1,
    });
  });

  // All of it again, and what follows.
  await consuming.bus.publish([
    ...early,
    recorded(BranchUpdatedSchema, { branchId: "b1", branch: { ownerId: "owner-2" }, aggregateVersion: 2n }),
    recorded(FaceVectorErasedSchema, { enrolmentId: "e1", memberId: userId, aggregateVersion: 2n }),
    recorded(UserUpdatedSchema, { userId, roleAssignments: [{ role: Role.OWNER }], aggregateVersion: 2n }),
    recorded(UserStatusChangedSchema, { userId, status: UserStatus.SUSPENDED, aggregateVersion: 1n }),
    ...early,
  ]);
  await eventually(async () => {
    expect(await state()).toEqual({ owner: "owner-2", faces: [["arc-1", true]], roles: ["owner"], sessions: 0 });
  });
  const told = (await auth.events()).map(({ $typeName }) => $typeName.slice($typeName.lastIndexOf(".") + 1));
  // Of several topics there is no order.
  expect(told.toSorted()).toEqual(["FaceEnrolmentRecorded", "FaceEnrolmentRecorded", "SessionRevoked", "UserCreated"]);
  // Versions tell repeats of all but the change of a status, which alone leaves a row.
  expect(await auth.database.sql`SELECT event_id FROM platform.inbox`).toHaveLength(1);
  expect(await consuming.bus.deadLetters.list({ service: "auth", pageSize: 10, pageToken: "" })).toMatchObject({
    deadLetters: [],
  });
});

test("an event that comes while the database refuses takes effect once it does not", async () => {
  await using auth = await startAuth();
  const { userId } = await auth.signUp(ada);
  await using consuming = await startConsuming(auth);
  await auth.database.sql`ALTER TABLE accounts ADD CONSTRAINT none CHECK (status <> 'SUSPENDED') NOT VALID`;
  const context = { source: "/test", clock: auth.clock, random: systemRandom, traceparent: "" };
  const message = create(UserStatusChangedSchema, { userId, status: UserStatus.SUSPENDED, aggregateVersion: 1n });
  await consuming.bus.publish([createRecord(UserStatusChangedSchema, message, context)]);
  await eventually(async () => {
    const states = await consuming.bus.consumerGroups.states();
    expect(states.find(({ topic }) => topic === "identity.user")?.lag).toBe(1);
  });
  await auth.database.sql`ALTER TABLE accounts DROP CONSTRAINT none`;
  await eventually(async () => {
    expect(await auth.database.sql`SELECT 1 FROM sessions WHERE end_time IS NULL`).toHaveLength(0);
  });
});
