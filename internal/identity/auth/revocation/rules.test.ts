import { isMessage } from "@bufbuild/protobuf";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { expect, test } from "bun:test";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import {
  DeviceRevokedSchema,
  EntryPassRevokedSchema,
  ServiceWithdrawnSchema,
  SessionRevokedSchema,
} from "../../../gen/muin/identity/v1/session_events_pb.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { postgresBootstrapStore } from "../bootstrap/store-postgres.ts";
import { mutantOf, outcomeOf, startAuth, type AuthFixture } from "../auth-fixture.ts";

const service: Caller = { kind: "service", id: "user", principal: "service:user" };
const minuteMs = 60_000;
const ids = {
  session: "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c01",
  device: "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c02",
  pass: "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c03",
} as const;

/** A session, a device and a service that end now, and a pass that would have ended in 5 minutes. */
async function endEach(auth: AuthFixture): Promise<void> {
  const { database, clock } = auth;
  const { userId } = await auth.signUp({
    email: "ada@example.org",
    password: "correct horse battery",
    displayName: "Ada",
  });
  const now = new Date(clock.now());
  await database.sql`
    INSERT INTO sessions
      (session_id, user_id, user_agent, address, refresh_hash, version, create_time, use_time, expire_time, end_time)
    VALUES (${ids.session}, ${userId}, '', '', sha256('a'), 2, ${now}, ${now}, ${now}, ${now})`;
  await database.sql`
    INSERT INTO devices
      (device_id, display_name, branch_ids, activation_hash, activation_expire_time, version, create_time, revoke_time)
    VALUES (${ids.device}, 'door', '{b}', sha256('a'), ${now}, 3, ${now}, ${now})`;
  await database.sql`
    INSERT INTO entry_passes (entry_pass_id, user_id, branch_id, version, issue_time, expire_time, revoke_time)
    VALUES (${ids.pass}, ${userId}, 'b', 2, ${now}, ${new Date(now.getTime() + 5 * minuteMs)}, ${now})`;
  await database.transaction(async (tx) => {
    await postgresBootstrapStore.put(tx, "count-read", new Uint8Array(32), now.getTime());
    await postgresBootstrapStore.withdraw(tx, "count-read", now.getTime());
  });
}

/** What auth lists, page by page of one, each with the minutes since its end. */
async function listed(auth: AuthFixture): Promise<readonly string[]> {
  const found: string[] = [];
  for (let pageToken = ""; ;) {
    const page = await auth.as(AuthService, { caller: service }).listRevocations({ pageSize: 1, pageToken });
    for (const { subject, time } of page.revocations) {
      const agoMs = auth.clock.now() - (time === undefined ? 0 : timestampMs(time));
      found.push(`${subject.case} ${subject.value} ${Math.floor(agoMs / minuteMs)}`);
    }
    if (page.nextPageToken === "") return found;
    pageToken = page.nextPageToken;
  }
}

/** What is listed at once, and 15, 17, 62 minutes, 25 hours and 6 minutes, and 48 * 60 + 59 minutes and two more later. */
async function listedOverTime(definition?: ServiceInfo): Promise<readonly (readonly string[])[]> {
  await using auth = await startAuth(definition === undefined ? {} : { definition });
  await endEach(auth);
  const lists: (readonly string[])[] = [await listed(auth)];
  for (const minutes of [15, 2, 45, 1444, 1433, 2]) {
    auth.clock.advance(minutes * minuteMs);
    lists.push(await listed(auth));
  }
  return lists;
}

/** All four, so many minutes after their end. */
const of = (minutes: number): readonly string[] => [
  `sessionId ${ids.session} ${minutes}`,
  `deviceId ${ids.device} ${minutes}`,
  `serviceName count-read ${minutes}`,
  `entryPassId ${ids.pass} ${minutes}`,
];

test("what ended is listed page by page as long as a token of it may live: 16 minutes, 61 minutes, 49 hours, and a pass for 25 hours after its time", async () => {
  expect(await listedOverTime()).toEqual([
    of(0),
    of(15),
    of(17).slice(1),
    of(62).filter((one) => /device|Pass/.test(one)),
    of(1506).slice(1, 2),
    of(2939).slice(1, 2),
    [],
  ]);
});

test.each([
  ["sessions are forgotten too soon", "sessions: revocationLifeMs", "sessions: 60_000"],
  ["devices are forgotten too soon", "devices: deviceRevocationLifeMs", "devices: revocationLifeMs"],
  ["services are forgotten too soon", "services: withdrawalLifeMs", "services: 60_000"],
  ["passes are forgotten too soon", "passes: entryPassPastMs", "passes: 0"],
  ["a page leaves out what follows of its kind", 'kind === from.kind ? from.id : ""', '""'],
])("mutant: it is seen when %s", async (_, from, to) => {
  await using auth = await startAuth({ definition: await mutantOf("revocation/rules.ts", from, to) });
  await endEach(auth);
  auth.clock.advance(15 * minuteMs);
  const pages = await auth.as(AuthService, { caller: service }).listRevocations({ pageSize: 1 });
  const second = await auth
    .as(AuthService, { caller: service })
    .listRevocations({ pageSize: 2, pageToken: pages.nextPageToken });
  auth.clock.advance(30 * minuteMs);
  const later = await auth.as(AuthService, { caller: service }).listRevocations({});
  const cases = [pages, second, later].map(({ revocations }) => revocations.map(({ subject }) => subject.case));
  const rest = ["deviceId", "serviceName", "entryPassId"];
  expect(cases).not.toEqual([["sessionId"], rest.slice(0, 2), rest]);
});

test("a token that nobody gave is refused", async () => {
  await using auth = await startAuth();
  const list = (pageToken: string) =>
    outcomeOf(auth.as(AuthService, { caller: service }).listRevocations({ pageToken }));
  expect(await list("nonsense")).toStartWith("InvalidArgument");
});

test("what ended is told again by the events that told it, at their versions and times, and no other", async () => {
  await using auth = await startAuth();
  await endEach(auth);
  const before = (await auth.events()).length;
  const republisher = partsOf(auth.parts, "republisher").find(({ schemas }) => schemas[0] === SessionRevokedSchema);
  expect([await republisher?.republish(), await republisher?.republish()]).toEqual([4, 4]);
  const told = (await auth.events()).slice(before).map((event) => {
    if (isMessage(event, SessionRevokedSchema)) return [event.sessionId, event.aggregateVersion, event.time] as const;
    if (isMessage(event, DeviceRevokedSchema)) return [event.deviceId, event.aggregateVersion, event.time] as const;
    if (isMessage(event, ServiceWithdrawnSchema))
      return [event.serviceName, event.aggregateVersion, event.time] as const;
    if (isMessage(event, EntryPassRevokedSchema))
      return [event.entryPassId, event.aggregateVersion, event.time] as const;
    return [event.$typeName, 0n, undefined] as const;
  });
  const shown = told.map(([id, version, time]) => [
    id,
    version,
    time !== undefined && timestampMs(time) <= auth.clock.now(),
  ]);
  const once = [
    [ids.session, 2n, true],
    [ids.device, 3n, true],
    ["count-read", 2n, true],
    [ids.pass, 2n, true],
  ];
  expect(shown).toEqual([...once, ...once]);
  auth.clock.advance(50 * 60 * minuteMs);
  expect(await republisher?.republish()).toBe(0);
});
