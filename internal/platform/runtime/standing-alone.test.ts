import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { createFetchClient } from "@connectrpc/connect/protocol";
import { createTransport } from "@connectrpc/connect/protocol-connect";
import { exportJWK, generateKeyPair, SignJWT } from "jose";
import { AuthService } from "../../gen/muin/identity/v1/auth_service_pb.ts";
import { BranchUpdatedSchema } from "../../gen/muin/identity/v1/branch_events_pb.ts";
import { DeviceRevokedSchema } from "../../gen/muin/identity/v1/session_events_pb.ts";
import { processConfig } from "../catalog/process-config.ts";
import { systemClock } from "../clock/clock.ts";
import { systemRandom } from "../clock/random.ts";
import { readConfig } from "../config/read-config.ts";
import { connectBus, silentLog } from "../events/redis/redis-broker-fixture.ts";
import { createRecord, topicsOf } from "../events/topics.ts";
import { createSigningFetch } from "../identity/signing-fetch.ts";
import { DoorProbeService } from "../rpc/testdata/probe_pb.ts";
import { group } from "../service/consumption.ts";
import { defineService, type ServiceInfo } from "../service/define-service.ts";
import { background, on, readiness, serve } from "../service/parts.ts";
import { folder, postgres, redis } from "../service/stores.ts";
import { eventually } from "../testing/eventually.ts";
import { caught, importMutant } from "../testing/mutant.ts";
import { startPostgres, type TestPostgres } from "../testing/postgres.ts";
import { expectPromised } from "../testing/promise.ts";
import { startRedis, type TestRedis } from "../testing/redis.ts";
import type { ServerProcess } from "../testing/server-process.ts";
import * as real from "./muin-process.ts";

setDefaultTimeout(60_000);

const issuer = "https://muin.test";
const sql = "CREATE TABLE seen (id text PRIMARY KEY)";

/** What the service of the tests is told, and tells. */
interface Seen {
  readonly branches: string[];
  isBackgroundRunning: boolean;
  problem: string | undefined;
}

const answer = ({ name }: { readonly name: string }) => ({ name });
async function* answers(request: { readonly name: string }) {
  yield answer(request);
}

/** A door that opens whatever is away. It keeps who calls unless told otherwise. */
function doorOf(seen: Seen, { keeps }: { readonly keeps: boolean }): ServiceInfo {
  const stores = {
    own: postgres({ database: "own", migrations: [{ name: "0001_seen", sql }] }),
    faces: redis("faces", "read-write", { keys: ["*"] }),
    kept: folder(),
  };
  return defineService({
    name: "door",
    summary: "A door.",
    serves: [DoorProbeService],
    calls: {},
    stores,
    publishes: [],
    consumes: [group(BranchUpdatedSchema, { publishedBy: "somebody" })],
    config: {},
    errors: {},
    personalData: "none",
    standsAlone: true,
    ...(keeps ? { keepsIdentityIn: "kept" } : {}),
    create: () => [
      serve(DoorProbeService, { open: answer, look: answer, knock: answer, watch: answers }),
      on(BranchUpdatedSchema, async ({ branchId }) => void seen.branches.push(branchId)),
      background({
        name: "background",
        start: async () => void (seen.isBackgroundRunning = true),
        stop: async () => void (seen.isBackgroundRunning = false),
      }),
      readiness("the door", async () => seen.problem),
    ],
  });
}

let database: TestPostgres;
let databaseUrl: string;
let faces: TestRedis;
let bus: TestRedis;
let authKey: { readonly kty: string; readonly crv: string; readonly x: string; readonly kid: string };
let signingKey: CryptoKey;
beforeAll(async () => {
  [database, faces, bus] = await Promise.all([startPostgres(), startRedis(), startRedis()]);
  databaseUrl = await database.createDatabase();
  const pair = await generateKeyPair("EdDSA", { extractable: true });
  const { kty = "", crv = "", x = "" } = await exportJWK(pair.publicKey);
  authKey = { kty, crv, x, kid: "one" };
  signingKey = pair.privateKey;
});
afterAll(() => Promise.all([database.stop(), faces.stop(), bus.stop()]));

/** All that the door could do without. */
const servers = (): readonly ServerProcess[] => [database, faces, bus];

/** A door's process. */
interface Door extends AsyncDisposable {
  readonly seen: Seen;
  readonly up: Promise<void>;
  /** What it says of its readiness, and of what it does without. */
  ready(): Promise<string>;
  /** "open", or the reason why not. */
  open(device: Device): Promise<string>;
}

interface DoorOptions {
  /** Where it keeps who calls; it keeps nothing where there is none. */
  readonly path: string;
  readonly keeps?: boolean;
  /** Default: auth is away. */
  readonly isAuthThere?: () => boolean;
  readonly createMuinProcess?: typeof real.createMuinProcess;
}

async function startDoor({ path, keeps = true, isAuthThere = () => false, ...options }: DoorOptions): Promise<Door> {
  const { createMuinProcess = real.createMuinProcess } = options;
  const seen: Seen = { branches: [], isBackgroundRunning: false, problem: undefined };
  const muin = createMuinProcess({
    name: "door",
    services: [doorOf(seen, { keeps })],
    personalDataHolders: [],
    serviceCallers: () => new Set(),
    consumedTopics: () => topicsOf([BranchUpdatedSchema]).map(({ name }) => name),
    hasPeers: true,
    runsAs: { user: "somebody" },
    askers: () => [],
    settings: {
      ...readConfig("", processConfig, {}),
      issuer,
      httpPort: 0,
      grpcPort: 0,
      operatorPort: 0,
      drainMs: 0,
      shutdownGraceMs: 100,
    },
    env: {},
    eventsUrl: bus.url,
    coordinationUrl: bus.url,
    storeUrl: (_, store) => (store === "own" ? databaseUrl : faces.url),
    storePath: () => path,
    schemaUrl: () => databaseUrl,
    grants: () => ({}),
    remote: () =>
      createRouterTransport(({ service }) => {
        service(AuthService, {
          listKeys: () => {
            if (!isAuthThere()) throw new ConnectError("away", Code.Unavailable);
            return { keys: [{ ...authKey, alg: "EdDSA", use: "sig" }] };
          },
        });
      }),
    clock: systemClock,
    random: systemRandom,
    log: silentLog,
  });
  await muin.start();
  const { http, operator } = muin.addresses();
  return {
    seen,
    up: muin.up,
    ready: async () => (await (await fetch(`${operator}/readyz`)).text()).trim(),
    open: (device) => open(http, device),
    [Symbol.asyncDispose]: () => muin.stop(),
  };
}

interface Device {
  readonly id: string;
  readonly token: string;
  readonly privateKey: KeyObject;
}

/** A device with a token that auth signed. */
async function newDevice(id: string): Promise<Device> {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  const cnf = { jwk: { kty: "OKP", crv: "Ed25519", x } };
  const token = await new SignJWT({ cnf, branches: ["b1"] })
    .setProtectedHeader({ alg: "EdDSA", kid: "one", typ: "muin-device+jwt" })
    .setIssuer(issuer)
    .setAudience("muin-device")
    .setSubject(`device:${id}`)
    .setIssuedAt()
    .setExpirationTime("24h")
    .sign(signingKey);
  return { id, token, privateKey };
}

async function open(http: string, { token, privateKey }: Device): Promise<string> {
  const sign = createSigningFetch({ privateKey, clock: systemClock, random: systemRandom, send: fetch });
  const transport = createTransport({
    baseUrl: http,
    httpClient: createFetchClient(sign as typeof fetch),
    useBinaryFormat: true,
    useHttpGet: false,
    interceptors: [
      (next) => (request) => {
        request.header.set("accept-encoding", "identity");
        request.header.set("authorization", `Bearer ${token}`);
        return next(request);
      },
    ],
    acceptCompression: [],
    sendCompression: null,
    compressMinBytes: 0,
    readMaxBytes: 1 << 20,
    writeMaxBytes: 1 << 20,
  });
  try {
    await createClient(DoorProbeService, transport).open({ name: "door" });
    return "open";
  } catch (error) {
    return Code[ConnectError.from(error).code];
  }
}

/** Runs `work` with a folder of its own for what doors keep. */
async function withFolder<T>(work: (path: string) => Promise<T>): Promise<T> {
  const parent = await mkdtemp(join(tmpdir(), "muin-door-"));
  try {
    return await work(join(parent, basename(parent)));
  } finally {
    await rm(parent, { recursive: true });
  }
}

/** Tells all that a device was revoked. */
async function revoke(deviceId: string): Promise<void> {
  const publisher = connectBus(bus.url, { instance: "auth", topics: topicsOf([DeviceRevokedSchema]) });
  await publisher.start();
  const message = create(DeviceRevokedSchema, {
    deviceId,
    aggregateVersion: 1n,
    time: timestampFromMs(systemClock.now()),
  });
  const context = { source: "/muin/auth", clock: systemClock, random: systemRandom, traceparent: "" };
  await publisher.publish([createRecord(DeviceRevokedSchema, message, context)]);
  await publisher.stop();
}

/** How all servers go away, and how they come back. */
const outages = {
  "that have ended": ["SIGKILL", (server: ServerProcess) => server.restart()],
  "that stand still": ["SIGSTOP", (server: ServerProcess) => server.kill("SIGCONT")],
} as const;

/** Takes all servers away; the returned function brings them back, once. */
async function takeAway(how: keyof typeof outages): Promise<() => Promise<void>> {
  const [signal, bringBack] = outages[how];
  await Promise.all(servers().map((server) => server.kill(signal)));
  let back: Promise<unknown> | undefined;
  return async () => void (await (back ??= Promise.all(servers().map(bringBack))));
}

describe.each(Object.keys(outages) as (keyof typeof outages)[])(
  "a service that stands alone beside servers %s",
  (how) => {
    test("starts, serves and judges for itself; its migrations and consumers begin when the servers are there", () =>
      withFolder(async (path) => {
        const device = await newDevice("d1");
        const end = await takeAway(how);
        try {
          const beganMs = performance.now();
          await using door = await startDoor({ path, isAuthThere: () => true });
          await eventually(async () => expect(await door.ready()).toStartWith("ready"));
          expectPromised("a service that stands alone is ready", 3000, performance.now() - beganMs);
          expect(door.seen.isBackgroundRunning).toBe(true);
          expect(await door.open(device)).toBe("open");
          const said = await door.ready();
          expect(said).toContain("degraded: door: its migrations and consumers have not begun: a store is away");
          expect(said).toContain("degraded: events: what was revoked lately is not known yet");
          door.seen.problem = "is jammed";
          await eventually(async () => expect(await door.ready()).toStartWith("not ready: door: the door: is jammed"));
          door.seen.problem = undefined;

          await end();
          await door.up;
          await eventually(async () => expect(await door.ready()).toBe("ready"));
          await announce("b1");
          await eventually(() => expect(door.seen.branches).toContain("b1"));
          expect(await door.open(device)).toBe("open");
        } finally {
          await end();
        }
      }));
  },
);

/** Tells of a branch. */
async function announce(branchId: string): Promise<void> {
  const publisher = connectBus(bus.url, { instance: "somebody", topics: topicsOf([BranchUpdatedSchema]) });
  await publisher.start();
  const message = create(BranchUpdatedSchema, { branchId, aggregateVersion: 1n });
  const context = { source: "/muin/somebody", clock: systemClock, random: systemRandom, traceparent: "" };
  await publisher.publish([createRecord(BranchUpdatedSchema, message, context)]);
  await publisher.stop();
}

/**
 * A door knew its keys and that a device was revoked. All is away when it starts anew. Returns how two devices fare then, the one that was revoked last.
 * `goOn` goes on with the door and the first of them, with what brings everything back.
 */
async function startCold(
  createMuinProcess: typeof real.createMuinProcess,
  {
    keeps = true,
    goOn = () => Promise.resolve(),
  }: {
    readonly keeps?: boolean;
    readonly goOn?: (door: Door, device: Device, end: () => Promise<void>) => Promise<void>;
  } = {},
): Promise<readonly string[]> {
  return withFolder(async (path) => {
    const [good, gone] = [await newDevice(`good-${basename(path)}`), await newDevice(`gone-${basename(path)}`)];
    {
      await using before = await startDoor({ path, keeps, isAuthThere: () => true, createMuinProcess });
      await before.up;
      await revoke(`gone-${basename(path)}`);
      await eventually(async () => expect(await before.open(gone)).toBe("Unauthenticated"));
      expect(await before.open(good)).toBe("open");
    }
    const end = await takeAway("that have ended");
    try {
      await using after = await startDoor({ path, keeps, createMuinProcess });
      await eventually(async () => expect(await after.ready()).toStartWith("ready"));
      const fared = [await after.open(good), await after.open(gone)];
      await goOn(after, good, end);
      return fared;
    } finally {
      await end();
    }
  });
}
const kept = ["open", "Unauthenticated"];

describe("a service that keeps who calls", () => {
  test("verifies devices after a start without auth and bus, forgets no revocation, and hears the next", async () => {
    const fared = await startCold(real.createMuinProcess, {
      goOn: async (door, device, end) => {
        await end();
        await door.up;
        await revoke(device.id);
        const revokedMs = performance.now();
        await eventually(async () => expect(await door.open(device)).toBe("Unauthenticated"));
        expectPromised("a device's revocation reaches a door", 1000, performance.now() - revokedMs);
      },
    });
    expect(fared).toEqual(kept);
  });

  test("one that does not keep it can tell nobody", async () => {
    expect(await startCold(real.createMuinProcess, { keeps: false })).toEqual(["Unavailable", "Unavailable"]);
  });

  test.each([
    ["its keys are not kept", "process-identity.ts", "keysFetched: (keys) => keeper?.keysFetched(keys),", ""],
    [
      "what was kept is not told",
      "../identity/revocation-feed.ts",
      "(const revocation of kept?.revocations ?? [])",
      "(const revocation of [] as KeptRevocation[])",
    ],
  ])("mutant: %s", async (_, file, from, to) => {
    const mutant = await importMutant<typeof real>(join(import.meta.dir, file), from, to, [
      join(import.meta.dir, "muin-process.ts"),
    ]);
    await caught(async () => expect(await startCold(mutant.createMuinProcess)).toEqual(kept));
  });
});
