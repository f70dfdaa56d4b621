import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "bun:test";
import { join } from "node:path";
import {
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  ServiceWithdrawnSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import { topicsOf } from "../events/topics.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import * as real from "./revocation-feed.ts";

const hourMs = 3_600_000;
const minuteMs = 60_000;
const nowMs = 1_800_000_000_000;

/** The feed, and what it told the authenticator. */
function setUp({ createRevocationFeed }: Pick<typeof real, "createRevocationFeed">) {
  const told: string[] = [];
  const feed = createRevocationFeed({
    clock: { now: () => nowMs },
    authenticator: {
      sessionRevoked: (id, untilMs) => void told.push(`session ${id} ${untilMs - nowMs}`),
      apiKeyRevoked: (id) => void told.push(`key ${id}`),
      serviceWithdrawn: (name, untilMs) => void told.push(`service ${name} ${untilMs - nowMs}`),
      revocationsMissed: () => void told.push("missed"),
      deviceRevoked: (id) => void told.push(`device ${id}`),
    },
  });
  const deliver = <M extends DescMessage>(schema: M, event: MessageInitShape<M>): Promise<void> =>
    feed.handle({ type: schema.typeName, data: toBinary(schema, create(schema, event)) });
  return { told, feed, deliver };
}

test("reads back two days and an hour, which the topic keeps, and wants every kind of revocation", () => {
  const { feed } = setUp(real);
  expect(feed.backMs).toBe(49 * hourMs);
  expect(feed.schemas).toEqual([
    SessionRevokedSchema,
    ApiKeyRevokedSchema,
    DeviceRevokedSchema,
    ServiceWithdrawnSchema,
  ]);
  const [topic, ...others] = topicsOf(feed.schemas);
  expect(others).toEqual([]);
  expect(topic?.name).toBe("identity.session");
  expect(topic?.retentionMs).toBeGreaterThanOrEqual(50 * hourMs);
});

async function tellsAll(feed: Pick<typeof real, "createRevocationFeed">): Promise<void> {
  const { told, deliver } = setUp(feed);
  const time = timestampFromMs(nowMs - 24 * hourMs);
  await deliver(DeviceRevokedSchema, { deviceId: "d", time });
  await deliver(ApiKeyRevokedSchema, { apiKeyId: "k", time });
  await deliver(SessionRevokedSchema, { sessionId: "s", time: timestampFromMs(nowMs + hourMs) });
  await deliver(ServiceWithdrawnSchema, { serviceName: "user", time: timestampFromMs(nowMs - minuteMs) });
  expect(told).toEqual(["device d", "key k", `session s ${hourMs}`, `service user ${-minuteMs}`]);
}

test("tells of every device, key, service and session, and until when their tokens may be dated", () => tellsAll(real));

test("tells that revocations were missed", () => {
  const { told, feed } = setUp(real);
  feed.missed();
  expect(told).toEqual(["missed"]);
});

test.each([
  ["devices are not told of", "authenticator.deviceRevoked(", "String("],
  [
    "sessions end when they are heard of",
    "time === undefined ? clock.now() : timestampMs(time));\n      } else if (type === Dev",
    "clock.now());\n      } else if (type === Dev",
  ],
])("a mutant in which %s is caught", async (_, from, to) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "revocation-feed.ts"), from, to);
  await caught(() => tellsAll(mutant));
});
