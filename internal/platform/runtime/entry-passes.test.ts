import { expect, setDefaultTimeout, test } from "bun:test";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { createRouterTransport } from "@connectrpc/connect";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { EntryPassRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { processConfig } from "../catalog/process-config.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { readConfig } from "../config/read-config.ts";
import { connectBus, silentLog } from "../events/redis/redis-broker-fixture.ts";
import { createRecord, topicsOf } from "../events/topics.ts";
import { entryPassClaims, type EntryPasses } from "../identity/entry-pass.ts";
import { defineService } from "../service/define-service.ts";
import { eventually } from "../testing/eventually.ts";
import { untilPromised } from "../testing/promise.ts";
import { startRedis } from "../testing/redis.ts";
import { createMuinProcess } from "./muin-process.ts";

setDefaultTimeout(60_000);

const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
const { kty = "", crv = "", x = "" } = await exportJWK(publicKey);

async function newPass(): Promise<{ readonly passId: string; readonly expireMs: number; readonly pass: string }> {
  const [passId, memberId, branchId] = [systemRandom.uuid(), systemRandom.uuid(), systemRandom.uuid()];
  const claims = entryPassClaims({ passId, memberId, branchId, issueMs: systemClock.now(), lifeMs: 300_000 });
  const signing = new SignJWT({ ...claims }).setProtectedHeader({ alg: "EdDSA", kid: "one", typ: "pass+jwt" });
  return { passId, expireMs: claims.exp * 1000, pass: await signing.sign(privateKey) };
}

/** A process of a service that verifies entry passes. Auth answers while `auth.isThere`. */
async function startDoor(url: string, auth: { isThere: boolean }): Promise<AsyncDisposable & EntryPasses> {
  let given: EntryPasses | undefined;
  const door = defineService({
    name: "door",
    summary: "A service of the test.",
    serves: [],
    calls: {},
    stores: {},
    publishes: [],
    consumes: [],
    config: {},
    errors: {},
    personalData: "none",
    verifiesEntryPasses: true,
    create: ({ entryPasses }) => {
      given = entryPasses;
      return [];
    },
  });
  const muin = createMuinProcess({
    name: "door",
    services: [door],
    personalDataHolders: [],
    serviceCallers: () => new Set(),
    consumedTopics: () => [],
    hasPeers: true,
    runsAs: { user: "somebody" },
    askers: () => [],
    settings: { ...readConfig("", processConfig, {}), httpPort: 0, grpcPort: 0, operatorPort: 0, shutdownGraceMs: 100 },
    env: {},
    eventsUrl: url,
    coordinationUrl: url,
    storeUrl: () => "",
    storePath: () => "",
    schemaUrl: () => "",
    grants: () => ({ dataRole: "" }),
    remote: () =>
      createRouterTransport(({ service }) => {
        service(AuthService, {
          listKeys: () => {
            if (!auth.isThere) throw new Error("auth is away");
            return { keys: [{ kty, crv, x, kid: "one", alg: "EdDSA", use: "sig" }] };
          },
        });
      }),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  await muin.start();
  await muin.up;
  if (given === undefined) throw new Error("the service got nothing that verifies entry passes");
  return { ...given, [Symbol.asyncDispose]: () => muin.stop() };
}

test("every process verifies passes while auth is away, refuses a revoked one within a second, and one that starts later too", async () => {
  await using redis = await startRedis();
  const auth = { isThere: true };
  await using first = await startDoor(redis.url, auth);
  await using second = await startDoor(redis.url, auth);
  const [gone, other] = [await newPass(), await newPass()];
  auth.isThere = false;
  for (const door of [first, second]) {
    for (const { pass, passId } of [gone, other]) expect(await door.verify(pass)).toMatchObject({ passId });
  }
  const bus = connectBus(redis.url, { instance: "auth", topics: topicsOf([EntryPassRevokedSchema]) });
  await bus.start();
  const event = create(EntryPassRevokedSchema, {
    entryPassId: gone.passId,
    aggregateVersion: 2n,
    time: timestampFromMs(systemClock.now()),
    expireTime: timestampFromMs(gone.expireMs),
  });
  const context = { source: "/muin/auth", clock: systemClock, random: systemRandom, traceparent: "" };
  await bus.publish([createRecord(EntryPassRevokedSchema, event, context)]);
  await untilPromised("a revoked pass is refused everywhere", 1000, async () => {
    const found = await Promise.all([first.verify(gone.pass), second.verify(gone.pass)]);
    return found.every((each) => each === "revoked");
  });
  await bus.stop();
  auth.isThere = true;
  await using late = await startDoor(redis.url, auth);
  await eventually(async () => expect(await late.verify(gone.pass)).toBe("revoked"));
  for (const door of [first, second, late])
    expect(await door.verify(other.pass)).toMatchObject({ passId: other.passId });
});
