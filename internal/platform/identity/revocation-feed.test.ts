import { create, toBinary, type DescMessage, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "bun:test";
import { join } from "node:path";
import {
  ApiKeyRevokedSchema,
  DeviceRevokedSchema,
  EntryPassRevokedSchema,
  ServiceWithdrawnSchema,
  SessionRevokedSchema,
} from "../../gen/muin/identity/v1/session_events_pb.ts";
import { RevocationSchema, type Revocation } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { systemRandom } from "../clock/random.ts";
import { silentLog } from "../events/redis/redis-broker-fixture.ts";
import { topicsOf } from "../events/topics.ts";
import { eventually } from "../testing/eventually.ts";
import type { IdentityKeeper, KeptIdentity } from "./identity-keeper.ts";
import { createHeldClock } from "../testing/held-clock.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import * as real from "./revocation-feed.ts";

const hourMs = 3_600_000;
const minuteMs = 60_000;
const nowMs = 1_800_000_000_000;

/** The feed, and what it told the authenticator. */
function setUp({ createRevocationFeed }: Pick<typeof real, "createRevocationFeed">, kept?: KeptIdentity) {
  const told: string[] = [];
  const keeper = kept === undefined ? undefined : createKeeper(kept);
  const clock = createHeldClock();
  /** What auth answers, in turns; then nothing. */
  const answers: (() => AsyncIterable<Revocation>)[] = [];
  const feed = createRevocationFeed({
    clock: { ...clock, now: () => nowMs },
    random: systemRandom,
    log: silentLog,
    keeper,
    revocations: () => (answers.shift() ?? (() => listOf([])))(),
    authenticator: {
      sessionRevoked: (id, untilMs) => void told.push(`session ${id} ${untilMs - nowMs}`),
      apiKeyRevoked: (id) => void told.push(`key ${id}`),
      serviceWithdrawn: (name, untilMs) => void told.push(`service ${name} ${untilMs - nowMs}`),
      entryPassRevoked: (id, expireMs) => void told.push(`pass ${id} ${expireMs - nowMs}`),
      revocationsMissed: () => void told.push("missed"),
      revocationsRead: () => void told.push("read"),
      deviceRevoked: (id) => void told.push(`device ${id}`),
      adoptKeys: async (keys) => void told.push(`keys ${keys.map(({ kid }) => kid).join(" ")}`),
    },
  });
  const deliver = <M extends DescMessage>(schema: M, event: MessageInitShape<M>): Promise<void> =>
    feed.handle({ type: schema.typeName, data: toBinary(schema, create(schema, event)) });
  return { told, feed, deliver, clock, answers, noted: keeper?.noted ?? [] };
}

/** Has kept something, and notes what it is told to keep. */
function createKeeper(kept: KeptIdentity): IdentityKeeper & { readonly noted: string[] } {
  const noted: string[] = [];
  return {
    noted,
    kept: () => kept,
    keysFetched: (keys) => void noted.push(`keys ${keys.length}`),
    revoked: ({ kind, id, untilMs }) => void noted.push(`${kind} ${id} ${untilMs - nowMs}`),
    unheard: (isUnheard) => void noted.push(`unheard ${isUnheard}`),
  };
}

test("reads back two days and an hour, which the topic keeps, and wants every kind of revocation", () => {
  const { feed } = setUp(real);
  expect(feed.backMs).toBe(49 * hourMs);
  expect(feed.schemas).toEqual([
    SessionRevokedSchema,
    ApiKeyRevokedSchema,
    DeviceRevokedSchema,
    ServiceWithdrawnSchema,
    EntryPassRevokedSchema,
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
  await deliver(EntryPassRevokedSchema, { entryPassId: "p", time, expireTime: timestampFromMs(nowMs + hourMs) });
  await deliver(EntryPassRevokedSchema, { entryPassId: "q", time });
  expect(told).toEqual([
    "device d",
    "key k",
    `session s ${hourMs}`,
    `service user ${-minuteMs}`,
    `pass p ${hourMs}`,
    `pass q ${24 * hourMs}`,
  ]);
}

test("tells of every device, key, service, session and pass, and until when their tokens may be dated", () =>
  tellsAll(real));

/** A list of auth's; `during` runs before its end. */
async function* listOf(
  subjects: readonly Revocation["subject"][],
  during: () => void = () => undefined,
): AsyncGenerator<Revocation> {
  await Promise.resolve();
  for (const subject of subjects) {
    const expireTime = timestampFromMs(nowMs + minuteMs);
    yield create(RevocationSchema, { subject, time: timestampFromMs(nowMs - minuteMs), expireTime });
  }
  during();
}

/** What is told when revocations are missed while auth is away at first, and missed once more while it answers. */
async function toldOfMissed(module: Pick<typeof real, "createRevocationFeed">): Promise<readonly string[]> {
  const { told, feed, clock, answers } = setUp(module);
  answers.push(
    () => {
      throw new Error("away");
    },
    () => listOf([{ case: "sessionId", value: "s" }], () => feed.missed()),
    () =>
      listOf([
        { case: "deviceId", value: "d" },
        { case: "serviceName", value: "user" },
        { case: "entryPassId", value: "p" },
      ]),
  );
  feed.missed();
  await eventually(() => expect(clock.asleep()).toHaveLength(1));
  clock.release();
  await eventually(() => expect(told.at(-1)).toBe("read"));
  await feed.stop();
  return told;
}
const toldOnce = [
  "missed",
  `session s ${-minuteMs}`,
  "missed",
  "device d",
  `service user ${-minuteMs}`,
  `pass p ${minuteMs}`,
  "read",
];

test("what was missed is asked of auth until it answers, and again when more is missed meanwhile", async () => {
  expect(await toldOfMissed(real)).toEqual(toldOnce);
});

test("a feed that is stopped asks no more, and tells nothing of what it did not read", async () => {
  const { told, feed, clock, answers } = setUp(real);
  answers.push(() => {
    throw new Error("away");
  });
  feed.missed();
  await eventually(() => expect(clock.asleep()).toHaveLength(1));
  await feed.stop();
  expect(told).toEqual(["missed"]);
});

const nothingKept: KeptIdentity = { keys: [], revocations: [], isUnheard: false };

test("what was kept is told again at the start, and what is revoked from then on is kept", async () => {
  const { told, noted, feed, deliver } = setUp(real, {
    keys: [{ kty: "OKP", crv: "Ed25519", x: "x", kid: "one" }],
    revocations: [
      { kind: "session", id: "s", untilMs: nowMs + minuteMs },
      { kind: "device", id: "d", untilMs: nowMs - hourMs },
      { kind: "service", id: "user", untilMs: nowMs },
      { kind: "pass", id: "p", untilMs: nowMs + hourMs },
    ],
    isUnheard: false,
  });
  await feed.begin({ caughtUp: Promise.resolve(), isEarly: false });
  expect(told).toEqual([`session s ${minuteMs}`, "device d", "service user 0", `pass p ${hourMs}`, "keys one"]);
  expect(noted).toEqual([]);
  await deliver(DeviceRevokedSchema, { deviceId: "e", time: timestampFromMs(nowMs - minuteMs) });
  await deliver(SessionRevokedSchema, { sessionId: "t", time: timestampFromMs(nowMs) });
  await deliver(ServiceWithdrawnSchema, { serviceName: "auth", time: timestampFromMs(nowMs) });
  await deliver(EntryPassRevokedSchema, { entryPassId: "q", expireTime: timestampFromMs(nowMs + minuteMs) });
  await deliver(ApiKeyRevokedSchema, { apiKeyId: "k" }); // No key is known after the start: nothing to keep.
  expect(noted).toEqual([`device e ${-minuteMs}`, "session t 0", "service auth 0", `pass q ${minuteMs}`]);
});

test("what an earlier process missed, and did not read from auth, is read at the start", async () => {
  const { told, noted, feed, answers } = setUp(real, { ...nothingKept, isUnheard: true });
  answers.push(() => listOf([{ case: "deviceId", value: "d" }]));
  await feed.begin({ caughtUp: Promise.resolve(), isEarly: false });
  await eventually(() => expect(told.at(-1)).toBe("read"));
  expect(told).toEqual(["keys ", "missed", "device d", "read"]);
  expect(noted).toEqual(["unheard true", `device d ${-minuteMs}`, "unheard false"]);
});

async function serveEarly(feed: Pick<typeof real, "createRevocationFeed">): Promise<void> {
  const events = Promise.withResolvers<void>();
  const { told, feed: early } = setUp(feed);
  await early.begin({ caughtUp: events.promise, isEarly: true });
  early.missed(); // Auth answers, and knows not what the bus will say.
  await eventually(() => expect(told).toEqual(["keys ", "missed", "missed"]));
  await early.stop();
  events.resolve();
  await eventually(() => expect(told.at(-1)).toBe("read"));
  expect(told.filter((one) => one === "read")).toHaveLength(1);
}

test("a process that serves early doubts tokens until it has caught up, whatever auth says", () => serveEarly(real));

test("mutant: a process that serves early and trusts auth alone is caught", async () => {
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "revocation-feed.ts"),
    "if (!isEarly) authenticator.revocationsRead();",
    "authenticator.revocationsRead();",
  );
  await caught(() => serveEarly(mutant));
});

test("mutant: what is missed while auth answers is found out", async () => {
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "revocation-feed.ts"),
    "for (let upTo = 0; upTo !== asked;) {",
    "for (let upTo = 0; upTo === 0;) {",
  );
  await caught(async () => expect(await toldOfMissed(mutant)).toEqual(toldOnce));
});

test.each([
  ["passes are not told of", "authenticator.entryPassRevoked(id, untilMs);", "String(id);"],
  ["devices are not told of", "authenticator.deviceRevoked(id);", "String(id);"],
  ["sessions end when they are heard of", ": timestampMs(time);", ": clock.now();"],
])("a mutant in which %s is caught", async (_, from, to) => {
  const mutant = await importMutant<typeof real>(join(import.meta.dir, "revocation-feed.ts"), from, to);
  await caught(() => tellsAll(mutant));
});
