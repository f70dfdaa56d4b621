import { expect, test } from "bun:test";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createRouterTransport } from "@connectrpc/connect";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { SessionRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { OperationsService } from "../../gen/muin/platform/v1/operations_service_pb.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { readConfig } from "../config/read-config.ts";
import { connectBus, silentLog } from "../events/redis/redis-broker-fixture.ts";
import { topicsOf } from "../events/topics.ts";
import { eventually } from "../testing/eventually.ts";
import { importMutant } from "../testing/mutant.ts";
import { connectClient } from "../testing/muin.ts";
import { startRedis } from "../testing/redis.ts";
import * as real from "./muin-process.ts";
import { processConfig } from "../catalog/process-config.ts";

type Module = typeof real;

const issuer = "https://muin.test";

/**
 * A session was revoked before the process started, and the events server is away when it starts. Tells what the process said
 * of its readiness meanwhile, and how it then answers a token of that session and of another.
 */
async function startWithoutEvents({ createMuinProcess }: Module) {
  await using redis = await startRedis();
  const bus = connectBus(redis.url, { instance: "auth", topics: topicsOf([SessionRevokedSchema]) });
  await bus.start();
  await bus.publish([
    {
      id: "revoked",
      source: "/muin/auth",
      type: SessionRevokedSchema.typeName,
      subject: "gone",
      topic: "identity.session",
      timeMs: systemClock.now(),
      epoch: 0,
      traceparent: "",
      data: toBinary(
        SessionRevokedSchema,
        create(SessionRevokedSchema, {
          sessionId: "gone",
          aggregateVersion: 1n,
          time: timestampFromMs(systemClock.now()),
        }),
      ),
    },
  ]);
  await bus.stop();
  await redis.kill("SIGKILL");

  const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
  const { kty = "", crv = "", x = "" } = await exportJWK(publicKey);
  const token = (sid: string): Promise<string> =>
    new SignJWT({ sid, scope: "operations.read" })
      .setProtectedHeader({ alg: "EdDSA", kid: "one" })
      .setIssuer(issuer)
      .setAudience("muin")
      .setSubject("someone")
      .setIssuedAt()
      .setExpirationTime("15m")
      .sign(privateKey);
  const muin = createMuinProcess({
    name: "probe",
    services: [],
    personalDataHolders: [],
    serviceCallers: () => new Set(),
    consumedTopics: () => [],
    hasPeers: true,
    runsAs: { user: "somebody" },
    askers: () => [],
    settings: {
      ...readConfig("", processConfig, {}),
      issuer,
      httpPort: 0,
      grpcPort: 0,
      operatorPort: 0,
      shutdownGraceMs: 100,
    },
    env: {},
    eventsUrl: redis.url,
    coordinationUrl: redis.url,
    storeUrl: () => "",
    storePath: () => "",
    schemaUrl: () => "",
    grants: () => ({ dataRole: "" }),
    remote: () =>
      createRouterTransport(({ service }) => {
        service(AuthService, {
          listKeys: () => ({ keys: [{ kty, crv, x, kid: "one", alg: "EdDSA", use: "sig" }] }),
        });
      }),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  await muin.start();
  try {
    const { http, operator } = muin.addresses();
    // At first it says that it is starting; then why it is not ready, or that it is.
    const said = await eventually(async () => {
      const answer = (await (await fetch(`${operator}/readyz`)).text()).trim();
      expect(answer).not.toBe("not ready: starting");
      return answer;
    });
    await redis.restart();
    await eventually(async () => expect((await fetch(`${operator}/readyz`)).status).toBe(200));
    const codeOf = async (sid: string): Promise<Code | undefined> => {
      try {
        await connectClient(OperationsService, http, await token(sid)).getStatus({});
        return undefined;
      } catch (error) {
        return ConnectError.from(error).code;
      }
    };
    return { said, gone: await codeOf("gone"), other: await codeOf("other") };
  } finally {
    await muin.stop();
  }
}

test("a process is not ready before it knows what was revoked in the last minutes", async () => {
  expect(await startWithoutEvents(real)).toEqual({
    said: "not ready: events: what was revoked lately is not known yet",
    gone: Code.Unauthenticated,
    other: undefined,
  });
});

test("mutant: a process that does not wait for the revocations is found out", async () => {
  const mutant = await importMutant<Module>(
    Bun.fileURLToPath(new URL("standing-alone.ts", import.meta.url)),
    "isCaughtUp ?",
    "true ?",
    [Bun.fileURLToPath(new URL("muin-process.ts", import.meta.url))],
  );
  expect(await startWithoutEvents(mutant)).toMatchObject({ said: "ready" });
});
