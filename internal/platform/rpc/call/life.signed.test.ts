import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { create, fromBinary, toBinary, toJsonString } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { Client, credentials, Metadata, type ServiceError } from "@grpc/grpc-js";
import { exportJWK, generateKeyPair, SignJWT, UnsecuredJWT, type JWTPayload } from "jose";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { serve } from "../../service/parts.ts";
import { systemClock, type Clock } from "../../clock/clock.ts";
import { createAuthenticator, type Authenticator } from "../../identity/authenticator.ts";
import type * as authenticators from "../../identity/authenticator.ts";
import { signatureOf } from "../../identity/call-signature.ts";
import { callerOf, type Caller } from "../../identity/caller.ts";
import { deviceKeyOf, signCall } from "../../identity/signed-call.ts";
import type { TokenKey } from "../../identity/key-set.ts";
import { createMetrics } from "../../telemetry/create-metrics.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import * as local from "../local/lane.ts";
import type { RpcAddresses } from "../server/server.ts";
import { planMethods } from "./plan.ts";
import { DoorProbeService, ProbeRequestSchema, ProbeResponseSchema } from "../testdata/probe_pb.ts";
import { recordingLog, recordingObserver } from "../testdata/probe-service.ts";
import * as probes from "../testdata/start-probe-server.ts";

setDefaultTimeout(30_000);

const path = "/muin.probe.v1.DoorProbeService";
const issuer = "https://muin.test";

interface Device {
  readonly id: string;
  readonly privateKey: KeyObject;
  readonly x: string;
}

function makeDevice(id: string): Device {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  return { id, privateKey, x: publicKey.export({ format: "jwk" }).x ?? "" };
}

const door = makeDevice("d1");
const other = makeDevice("d2");
const { publicKey, privateKey } = await generateKeyPair("EdDSA", { extractable: true });
const { kty, crv, x = "" } = await exportJWK(publicKey);
const authKey = { kty, crv, x, kid: "one" } as TokenKey;

function claimsOf(device: Device, nowMs: number): JWTPayload {
  const iat = Math.floor(nowMs / 1000);
  const cnf = { jwk: { kty: "OKP", crv: "Ed25519", x: device.x } };
  return { iss: issuer, aud: "muin-device", sub: `device:${device.id}`, iat, exp: iat + 86_400, cnf, branches: ["b1"] };
}

function tokenOf(claims: JWTPayload, header: Record<string, unknown> = {}): Promise<string> {
  return new SignJWT(claims)
    .setProtectedHeader({ alg: "EdDSA", kid: "one", typ: "muin-device+jwt", ...header })
    .sign(privateKey);
}

/** A server that knows devices by the real authenticator. */
interface Doors extends AsyncDisposable {
  readonly addresses: RpcAddresses;
  readonly authenticator: Authenticator;
  readonly grpc: Client;
  nowMs(): number;
  advance(ms: number): void;
}

const answer = (request: { name: string }, context: Parameters<typeof callerOf>[0]) => ({
  name: request.name,
  principal: callerOf(context).principal,
});

const doorService = {
  ...serve(DoorProbeService, {
    open: answer,
    look: answer,
    watch: async function* watch(request, context) {
      yield answer(request, context);
    },
    knock: async (request, context) => {
      await signatureOf(context).prove(deviceKeyOf(door.x));
      return answer(request, context);
    },
  }),
  hot: [DoorProbeService.method.open],
};

async function startDoors(startProbeServer = probes.startProbeServer, create = createAuthenticator): Promise<Doors> {
  let offsetMs = 0;
  const clock: Clock = { ...systemClock, now: () => systemClock.now() + offsetMs };
  const authenticator = create({
    issuer,
    fetchKeys: async () => [authKey],
    verifyApiKey: async () => ({ id: "k1", scopes: [], expireTimeMs: undefined }),
    heartbeatAgeMs: () => 0,
    clock,
    log: recordingLog([]),
    metrics: createMetrics(),
  });
  const server = await startProbeServer({ served: [doorService], authenticator, clock });
  const grpc = new Client(server.addresses.grpc, credentials.createInsecure());
  return {
    addresses: server.addresses,
    authenticator,
    grpc,
    nowMs: () => clock.now(),
    advance: (ms) => void (offsetMs += ms),
    [Symbol.asyncDispose]: async () => {
      grpc.close();
      await server.stop();
    },
  };
}

/** A call as it goes over the wire. */
interface Sent {
  readonly method: "Open" | "Look" | "Knock";
  readonly headers: Record<string, string>;
  readonly body: Uint8Array<ArrayBuffer>;
}

interface Lane {
  readonly name: string;
  readonly method: "Open" | "Look";
  /** The request message as this lane sends it. */
  encode(name: string): Uint8Array<ArrayBuffer>;
  /** "ok <principal>", or the error's reason. */
  send(doors: Doors, sent: Sent): Promise<string>;
}

const binary = (name: string) => toBinary(ProbeRequestSchema, create(ProbeRequestSchema, { name }));
const json = (name: string) =>
  new TextEncoder().encode(toJsonString(ProbeRequestSchema, create(ProbeRequestSchema, { name })));
const reasonIn = (text: string): string => /google\.rpc\.ErrorInfo[^A-Z]+([A-Z_]+)/.exec(text)?.[1] ?? text;
const pass = (bytes: unknown): Buffer => Buffer.from(bytes as Uint8Array);

async function connectCall(doors: Doors, sent: Sent, type: string): Promise<string> {
  const url = `${doors.addresses.http}${path}/${sent.method}`;
  const headers = { "content-type": type, ...sent.headers };
  const response = await fetch(url, { method: "POST", headers, body: sent.body });
  if (type === "application/proto" && response.ok) {
    return `ok ${fromBinary(ProbeResponseSchema, await response.bytes()).principal}`;
  }
  const reply = (await response.json()) as { principal?: string; details?: { debug: { reason: string } }[] };
  return response.ok ? `ok ${reply.principal}` : (reply.details?.[0]?.debug.reason ?? JSON.stringify(reply));
}

function framed(message: Uint8Array, flags = 0): Uint8Array<ArrayBuffer> {
  const frame = Buffer.alloc(5 + message.length);
  frame[0] = flags;
  frame.writeUInt32BE(message.length, 1);
  frame.set(message, 5);
  return new Uint8Array(frame);
}

async function grpcWebCall(doors: Doors, sent: Sent, body = framed(sent.body)): Promise<string> {
  const headers = { ...sent.headers, "content-type": "application/grpc-web+proto" };
  const response = await fetch(`${doors.addresses.http}${path}/${sent.method}`, { method: "POST", headers, body });
  const bytes = Buffer.from(await response.bytes());
  const text = bytes.toString("latin1");
  if (/grpc-status: 0/.test(text)) {
    return `ok ${fromBinary(ProbeResponseSchema, bytes.subarray(5, 5 + bytes.readUInt32BE(1))).principal}`;
  }
  const details = /grpc-status-details-bin: (\S+)/.exec(text)?.[1] ?? "";
  return reasonIn(Buffer.from(details, "base64").toString("latin1"));
}

function grpcCall(doors: Doors, sent: Sent): Promise<string> {
  const metadata = new Metadata();
  for (const [name, value] of Object.entries(sent.headers)) metadata.set(name, value);
  return new Promise((resolve) => {
    const done = (error: ServiceError | null, reply?: Buffer): void => {
      const details = (error?.metadata.get("grpc-status-details-bin") ?? []).map((each) => Buffer.from(each));
      if (error !== null) return resolve(reasonIn(Buffer.concat(details).toString("latin1")));
      resolve(`ok ${fromBinary(ProbeResponseSchema, reply ?? new Uint8Array()).principal}`);
    };
    const deadline = Date.now() + 10_000;
    doors.grpc.makeUnaryRequest(
      `${path}/${sent.method}`,
      pass,
      pass,
      Buffer.from(sent.body),
      metadata,
      { deadline },
      done,
    );
  });
}

async function restCall(doors: Doors, sent: Sent, url = "/api/v1/doors:open"): Promise<string> {
  const headers = { "content-type": "application/json", ...sent.headers };
  const response = await fetch(doors.addresses.http + url, { method: "POST", headers, body: sent.body });
  const reply = (await response.json()) as { principal?: string; error?: { details: { reason?: string }[] } };
  return response.ok
    ? `ok ${reply.principal}`
    : (reply.error?.details.find(({ reason }) => reason !== undefined)?.reason ?? JSON.stringify(reply));
}

const lanes: readonly Lane[] = [
  {
    name: "Connect, fast",
    method: "Open",
    encode: binary,
    send: (doors, sent) => connectCall(doors, sent, "application/proto"),
  },
  {
    name: "Connect JSON, generic",
    method: "Look",
    encode: json,
    send: (doors, sent) => connectCall(doors, sent, "application/json"),
  },
  { name: "gRPC-Web", method: "Look", encode: binary, send: (doors, sent) => grpcWebCall(doors, sent) },
  { name: "gRPC", method: "Open", encode: binary, send: grpcCall },
  { name: "REST", method: "Open", encode: json, send: (doors, sent) => restCall(doors, sent) },
];

const [fast, generic, grpcWeb, , rest] = lanes as unknown as [Lane, Lane, Lane, Lane, Lane];

let nonces = 0;
const nextNonce = (): string => `nonce-${String(++nonces).padStart(16, "0")}`;

/** A good call of the door. */
async function good(doors: Doors, lane: Lane, change: Partial<Parameters<typeof signCall>[1]> = {}): Promise<Sent> {
  const body = lane.encode("abc");
  const call = { method: `${path}/${lane.method}`, body, timeMs: doors.nowMs(), nonce: nextNonce(), ...change };
  const token = await tokenOf(claimsOf(door, doors.nowMs()));
  const headers = { authorization: `Bearer ${token}`, "muin-signature": signCall(door.privateKey, call) };
  return { method: lane.method, headers, body };
}

const withHeader = (sent: Sent, name: string, value: string): Sent => ({
  ...sent,
  headers: { ...sent.headers, [name]: value },
});
const without = ({ headers, ...sent }: Sent, name: string): Sent => ({
  ...sent,
  headers: Object.fromEntries(Object.entries(headers).filter(([each]) => each !== name)),
});

/** Attacks, each on a good call of the door, and how they must be answered in every lane. */
type Attack = (doors: Doors, lane: Lane, sent: Sent) => Sent | Promise<Sent>;
const withToken =
  (change: JWTPayload, header: Record<string, unknown> = {}): Attack =>
  async (doors, _, sent) => {
    const claims = { ...claimsOf(door, doors.nowMs()), ...change };
    return withHeader(sent, "authorization", `Bearer ${await tokenOf(claims, header)}`);
  };
const invalid = "CREDENTIALS_INVALID";
const attacks: readonly [name: string, expected: string, attack: Attack][] = [
  ["nothing", "ok device:d1", (_doors, _lane, sent) => sent],
  [
    "the device token of another device",
    "SIGNATURE_INVALID",
    async (doors, _, sent) =>
      withHeader(sent, "authorization", `Bearer ${await tokenOf(claimsOf(other, doors.nowMs()))}`),
  ],
  ["another body", "SIGNATURE_INVALID", (_, lane, sent) => ({ ...sent, body: lane.encode("abd") })],
  ["no body", "SIGNATURE_INVALID", (_, _lane, sent) => ({ ...sent, body: new Uint8Array() })],
  [
    "a signature of another method",
    "SIGNATURE_INVALID",
    (doors, lane) => good(doors, lane, { method: `${path}/Knock` }),
  ],
  [
    "another time",
    "SIGNATURE_INVALID",
    (_doors, _lane, sent) =>
      withHeader(
        sent,
        "muin-signature",
        sent.headers["muin-signature"]!.replace(/t=(\d+)/, (_, t) => `t=${+t + 1}`),
      ),
  ],
  [
    "another nonce",
    "SIGNATURE_INVALID",
    (_doors, _lane, sent) =>
      withHeader(sent, "muin-signature", sent.headers["muin-signature"]!.replace("n=nonce", "n=nunce")),
  ],
  [
    "another signature",
    "SIGNATURE_INVALID",
    (_doors, _lane, sent) =>
      withHeader(
        sent,
        "muin-signature",
        sent.headers["muin-signature"]!.replace(/s=./, (c) => (c === "s=A" ? "s=B" : "s=A")),
      ),
  ],
  ["a time 31 s ago", "SIGNATURE_TIME", (doors, lane) => good(doors, lane, { timeMs: doors.nowMs() - 31_000 })],
  ["a time in 31 s", "SIGNATURE_TIME", (doors, lane) => good(doors, lane, { timeMs: doors.nowMs() + 31_000 })],
  ["no signature", "SIGNATURE_MISSING", (_doors, _lane, sent) => without(sent, "muin-signature")],
  [
    "a signature of 8000 characters",
    "SIGNATURE_INVALID",
    (_doors, _lane, sent) => withHeader(sent, "muin-signature", "x".repeat(8000)),
  ],
  ["a short nonce", "SIGNATURE_INVALID", (doors, lane) => good(doors, lane, { nonce: "short" })],
  [
    "the header Idempotency-Key, which no signature covers",
    "NOT_SIGNABLE",
    (_doors, _lane, sent) => withHeader(sent, "idempotency-key", "0123456789"),
  ],
  ["no token", "CREDENTIALS_MISSING", (_doors, _lane, sent) => without(sent, "authorization")],
  [
    "a token of 8000 characters",
    invalid,
    (_doors, _lane, sent) => withHeader(sent, "authorization", `Bearer ${"x".repeat(8000)}`),
  ],
  [
    "an expired token",
    invalid,
    (doors, lane, sent) =>
      withToken({ iat: doors.nowMs() / 1000 - 86_410, exp: doors.nowMs() / 1000 - 10 })(doors, lane, sent),
  ],
  [
    "a token dated more than a day ahead",
    invalid,
    (doors, lane, sent) => withToken({ iat: Math.floor(doors.nowMs() / 1000) + 86_460 })(doors, lane, sent),
  ],
  [
    "a token that lives a week",
    invalid,
    (doors, lane, sent) => withToken({ exp: Math.floor(doors.nowMs() / 1000) + 604_800 })(doors, lane, sent),
  ],
  ["a token for people", invalid, withToken({ aud: "muin" })],
  ["a token of another installation", invalid, withToken({ iss: "https://evil.test" })],
  ["a token of no device", invalid, withToken({ sub: "person:abc" })],
  ["a token without a key", invalid, withToken({ cnf: undefined })],
  ["a token whose key is no key", invalid, withToken({ cnf: { jwk: { kty: "OKP", crv: "Ed25519", x: "AA" } } })],
  ["a token without branches", invalid, withToken({ branches: undefined })],
  ["a device's claims in a token of another type", invalid, withToken({}, { typ: "JWT" })],
  ["an unknown key id", invalid, withToken({}, { kid: "two" })],
  [
    "alg none",
    invalid,
    (doors, _, sent) =>
      withHeader(sent, "authorization", `Bearer ${new UnsecuredJWT(claimsOf(door, doors.nowMs())).encode()}`),
  ],
  [
    "HS256 with the public key",
    invalid,
    async (doors, _, sent) => {
      const header = { alg: "HS256", kid: "one", typ: "muin-device+jwt" };
      const token = await new SignJWT(claimsOf(door, doors.nowMs()))
        .setProtectedHeader(header)
        .sign(Buffer.from(x, "base64url"));
      return withHeader(sent, "authorization", `Bearer ${token}`);
    },
  ],
  [
    "a token that the device signed itself",
    invalid,
    async (doors, _, sent) => {
      const header = { alg: "EdDSA", kid: "one", typ: "muin-device+jwt" };
      const token = await new SignJWT(claimsOf(door, doors.nowMs())).setProtectedHeader(header).sign(door.privateKey);
      return withHeader(sent, "authorization", `Bearer ${token}`);
    },
  ],
  [
    "a person's token, signed by a device's key",
    "CALLER_KIND",
    async (doors, _, sent) => {
      const iat = Math.floor(doors.nowMs() / 1000);
      const claims = { iss: issuer, aud: "muin", sub: "u1", iat, exp: iat + 900, sid: "s1", scope: "" };
      return withHeader(sent, "authorization", `Bearer ${await tokenOf(claims, { typ: "JWT" })}`);
    },
  ],
  [
    "an API key, signed by a device's key",
    "CALLER_KIND",
    (_doors, _lane, sent) => withHeader(sent, "authorization", "Bearer muin_x"),
  ],
];

async function replay(doors: Doors, lane: Lane): Promise<void> {
  const sent = await good(doors, lane, { timeMs: doors.nowMs() + 29_000 });
  expect(await lane.send(doors, sent)).toBe("ok device:d1");
  expect(await lane.send(doors, sent)).toBe("SIGNATURE_REPLAYED");
  doors.advance(58_000);
  expect(await lane.send(doors, sent)).toBe("SIGNATURE_REPLAYED");
  doors.advance(2000);
  expect(await lane.send(doors, sent)).toBe("SIGNATURE_TIME");
}

let doors: Doors;
beforeAll(async () => {
  doors = await startDoors();
});
afterAll(() => doors[Symbol.asyncDispose]());

describe.each(lanes.map((lane) => [lane.name, lane] as const))("over %s a device's call with", (_, lane) => {
  test.each(attacks)("%s is answered %s", async (_name, expected, attack) => {
    expect(await lane.send(doors, await attack(doors, lane, await good(doors, lane)))).toBe(expected);
  });

  test("the same signature again is a replay, for as long as its time is taken", () => replay(doors, lane));
});

/** Calls with something that a signature could not cover: each is refused. */
const uncovered: readonly [name: string, send: (doors: Doors) => Promise<string>][] = [
  [
    "compression over Connect",
    async (doors) => {
      const sent = await good(doors, fast);
      const packed = { ...withHeader(sent, "content-encoding", "gzip"), body: Bun.gzipSync(sent.body) };
      return connectCall(doors, packed, "application/proto");
    },
  ],
  [
    "compression over REST",
    async (doors) => {
      const sent = await good(doors, rest);
      return restCall(doors, { ...withHeader(sent, "content-encoding", "gzip"), body: Bun.gzipSync(sent.body) });
    },
  ],
  [
    "compression over gRPC-Web",
    async (doors) => {
      const sent = await good(doors, grpcWeb);
      return grpcWebCall(doors, withHeader(sent, "grpc-encoding", "gzip"), framed(Bun.gzipSync(sent.body), 1));
    },
  ],
  [
    "two messages",
    async (doors) => {
      const sent = await good(doors, grpcWeb);
      return grpcWebCall(doors, sent, new Uint8Array(Buffer.concat([framed(sent.body), framed(sent.body)])));
    },
  ],
  [
    "GET over Connect",
    async (doors) => {
      const { headers } = await good(doors, generic);
      const query = `?connect=v1&encoding=json&message=${encodeURIComponent('{"name":"abc"}')}`;
      return reasonOf(await fetch(`${doors.addresses.http}${path}/Look${query}`, { headers }));
    },
  ],
  [
    "GET over REST",
    async (doors) => {
      const { headers } = await good(doors, generic);
      return reasonOf(await fetch(`${doors.addresses.http}/api/v1/doors:look?name=abc`, { headers }));
    },
  ],
  ["variables in the path", async (doors) => restCall(doors, await good(doors, rest), "/api/v1/doors/xyz:open")],
  [
    "a query",
    async (doors) =>
      restCall(doors, await good(doors, { ...rest, encode: () => new Uint8Array() }), "/api/v1/doors:open?name=abc"),
  ],
  [
    "a stream",
    async (doors) => {
      const sent = await good(doors, grpcWeb);
      const headers = { ...sent.headers, "content-type": "application/connect+proto" };
      return reasonOf(
        await fetch(`${doors.addresses.http}${path}/Watch`, { method: "POST", headers, body: framed(sent.body) }),
      );
    },
  ],
];

async function reasonOf(response: Response): Promise<string> {
  const text = await response.text();
  return /"reason":"([A-Z_]+)"/.exec(text)?.[1] ?? text;
}

test.each(uncovered)("a signed call cannot have %s", async (_, send) => {
  expect(await send(doors)).toBe("NOT_SIGNABLE");
});

test("a method may take signed calls only, and knows itself by which key", async () => {
  const knock = { ...fast, method: "Knock" as "Open" };
  const sent = await good(doors, knock);
  expect(await fast.send(doors, without(sent, "authorization"))).toBe("ok anonymous");
  expect(await fast.send(doors, without(sent, "authorization"))).toBe("SIGNATURE_REPLAYED");
  expect(await fast.send(doors, await good(doors, knock))).toBe("ok device:d1");
  const unsigned = without(await good(doors, knock), "authorization");
  expect(await fast.send(doors, without(unsigned, "muin-signature"))).toBe("SIGNATURE_MISSING");
  const foreign = { method: `${path}/Knock`, body: sent.body, timeMs: doors.nowMs(), nonce: nextNonce() };
  const signature = signCall(other.privateKey, foreign);
  expect(await fast.send(doors, withHeader(unsigned, "muin-signature", signature))).toBe("SIGNATURE_INVALID");
});

async function revoke(doors: Doors): Promise<void> {
  const lane = fast;
  const token = await tokenOf(claimsOf(door, doors.nowMs()));
  const call = async (): Promise<string> =>
    lane.send(doors, withHeader(await good(doors, lane), "authorization", `Bearer ${token}`));
  expect(await call()).toBe("ok device:d1");
  doors.authenticator.deviceRevoked("d2");
  // What the bus would tell does not come: the token goes on, to its end and no further.
  doors.advance(86_390_000);
  expect(await call()).toBe("ok device:d1");
  doors.advance(20_000);
  expect(await call()).toBe(invalid);
  expect(await lane.send(doors, await good(doors, lane))).toBe("ok device:d1");
  doors.authenticator.deviceRevoked("d1");
  expect(await lane.send(doors, await good(doors, lane))).toBe(invalid);
}

test("a revoked device is refused at once, others are not; with the bus down its token ends it", async () => {
  await using doors = await startDoors();
  await revoke(doors);
});

test("one device's calls are bounded, and another's go on", async () => {
  await using doors = await startDoors();
  const lane = fast;
  const answers = new Map<string, number>();
  const count = (answer: string): void => void answers.set(answer, (answers.get(answer) ?? 0) + 1);
  for (let round = 0; round < 31; round += 1) {
    const calls = Array.from({ length: 100 }, async () => lane.send(doors, await good(doors, lane)));
    for (const answer of await Promise.all(calls)) count(answer);
  }
  expect(Object.fromEntries(answers)).toEqual({ "ok device:d1": 3000, TOO_MANY_SIGNED_CALLS: 100 });
  const sent = await good(doors, lane);
  const token = await tokenOf(claimsOf(other, doors.nowMs()));
  const call = { method: `${path}/Open`, body: sent.body, timeMs: doors.nowMs(), nonce: nextNonce() };
  const headers = { authorization: `Bearer ${token}`, "muin-signature": signCall(other.privateKey, call) };
  expect(await lane.send(doors, { ...sent, headers })).toBe("ok device:d2");
  doors.advance(61_000);
  expect(await lane.send(doors, await good(doors, lane))).toBe("ok device:d1");
});

async function clockSetBack(doors: Doors): Promise<void> {
  const lane = fast;
  const sent = await good(doors, lane);
  expect(await lane.send(doors, sent)).toBe("ok device:d1");
  doors.advance(61_000);
  expect(await lane.send(doors, await good(doors, lane))).toBe("ok device:d1");
  doors.advance(-61_000);
  expect(await lane.send(doors, sent)).toBe("SIGNATURE_REPLAYED");
}

test("a clock that is set back makes no replay new", async () => {
  await using doors = await startDoors();
  await clockSetBack(doors);
});

/** A call that no lane has proven: in process there is no signature. */
async function unproven({ createLocalLane }: Pick<typeof local, "createLocalLane">): Promise<void> {
  const caller: Caller = {
    kind: "device",
    id: "d1",
    principal: "device:d1",
    branchIds: new Set(),
    key: deviceKeyOf(door.x),
  };
  const lane = createLocalLane(planMethods([doorService]), { observer: recordingObserver([]), log: recordingLog([]) });
  const client = createClient(DoorProbeService, lane(caller));
  const outcome = await client.open({ name: "abc" }).then(
    ({ principal }) => `ok ${principal}`,
    (error: unknown) => Code[ConnectError.from(error).code],
  );
  expect(outcome).toBe("Unauthenticated");
}

test("a device's call that no lane has proven reaches no handler", async () => {
  await unproven(local);
  const mutant = await importMutant<typeof local>(
    join(import.meta.dir, "accept-request.ts"),
    "if (call.signature === undefined && mustBeSigned(call)) throw signatureMissing();",
    "",
    [join(import.meta.dir, "../local/lane.ts")],
  );
  await caught(() => unproven(mutant));
});

const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");

const attackOf =
  (name: string, lane: Lane) =>
  async (doors: Doors): Promise<void> => {
    const [, expected, attack] = attacks.find(([each]) => each === name)!;
    expect(await lane.send(doors, await attack(doors, lane, await good(doors, lane)))).toBe(expected);
  };
const uncoveredOf =
  (name: string) =>
  async (doors: Doors): Promise<void> => {
    expect(await uncovered.find(([each]) => each === name)![1](doors)).toBe("NOT_SIGNABLE");
  };

/** Rules, each broken in one place, and the check that then fails. */
const broken: readonly [
  rule: string,
  file: string,
  from: string,
  to: string,
  check: (doors: Doors) => Promise<void>,
][] = [
  [
    "a device proves its key",
    "../../identity/call-signature.ts",
    "if (!verify(null, signedText(call), key, signature))",
    "if (false)",
    attackOf("the device token of another device", fast),
  ],
  [
    "the body is signed",
    "admission.ts",
    "call.plan.path, body,",
    "call.plan.path, new TextEncoder().encode(''),",
    attackOf("nothing", fast),
  ],
  ["a nonce is used once", "../../identity/proven-calls.ts", "calls.has(id) ||", "", (doors) => replay(doors, fast)],
  ["what was forgotten is refused", "../../identity/proven-calls.ts", "|| timeMs <= forgottenMs", "", clockSetBack],
  [
    "old calls are refused",
    "../../identity/call-signature.ts",
    "Math.abs(timeMs - nowMs) > signatureSkewMs",
    "timeMs - nowMs > signatureSkewMs",
    attackOf("a time 31 s ago", fast),
  ],
  [
    "early calls are refused",
    "../../identity/call-signature.ts",
    "Math.abs(timeMs - nowMs) > signatureSkewMs",
    "nowMs - timeMs > signatureSkewMs",
    attackOf("a time in 31 s", fast),
  ],
  ["nonces are long", "../../identity/call-signature.ts", "{16,64}", "{1,64}", attackOf("a short nonce", fast)],
  ["devices sign", "admission.ts", 'caller.kind === "device" ||', "", attackOf("no signature", fast)],
  [
    "devices sign over the library's lanes",
    "../universal/lane.ts",
    "body !== undefined && mustBeSigned(call)",
    "false",
    attackOf("nothing", generic),
  ],
  [
    "devices sign over our own lanes",
    "answer.ts",
    "mustBeSigned(call) ? (body)",
    "false ? (body: Uint8Array)",
    attackOf("nothing", rest),
  ],
  [
    "no unsigned key of a request",
    "admission.ts",
    'if (header.has("idempotency-key")) throw notSignable("the header Idempotency-Key");',
    "",
    attackOf("the header Idempotency-Key, which no signature covers", fast),
  ],
  ["no stream", "admission.ts", 'if (mustBeSigned(call)) throw notSignable("a stream");', "", uncoveredOf("a stream")],
  [
    "no query",
    "../rest/read-request.ts",
    'if (queryStart >= 0) throw notSignable("a query");',
    "",
    uncoveredOf("a query"),
  ],
  [
    "no variables",
    "../rest/read-request.ts",
    'if (values.length > 0) throw notSignable("variables in its path");',
    "",
    uncoveredOf("variables in the path"),
  ],
  [
    "no GET",
    "../universal/read-request.ts",
    'if (origin.method === "GET") throw notSignable("the method GET");',
    "",
    uncoveredOf("GET over Connect"),
  ],
  [
    "one message",
    "../universal/read-request.ts",
    "framed.readUInt32BE(1) !== framed.length - envelopeBytes",
    "false",
    uncoveredOf("two messages"),
  ],
];

describe("a broken rule is noticed", () => {
  test.each(broken)("%s (%s)", async (_, file, from, to, check) => {
    const source = join(import.meta.dir, file);
    const { startProbeServer } = await importMutant<typeof probes>(source, from, to, [entry]);
    await using doors = await startDoors(startProbeServer);
    await caught(() => check(doors));
  });

  const tokenRules: readonly [rule: string, file: string, from: string, to: string, attack: string][] = [
    [
      "audience",
      "token-verifier.ts",
      "audience: deviceTokenAudience, typ",
      "audience: [deviceTokenAudience, tokenAudience] as never, typ",
      "a token for people",
    ],
    [
      "type",
      "token-verifier.ts",
      "header.typ === deviceTokenType ?",
      "true ?",
      "a person's token, signed by a device's key",
    ],
    ["life", "device-token.ts", "(exp! - iat!) * 1000 > deviceTokenLifeMsMax", "false", "a token that lives a week"],
    [
      "subject",
      "device-token.ts",
      "!sub.startsWith(deviceSubjectPrefix) ||",
      "id === sub && false ||",
      "a token of no device",
    ],
  ];
  test.each(tokenRules)("a device token's %s (%s)", async (_, file, from, to, attack) => {
    const folder = join(import.meta.dir, "../../identity");
    const through = [join(folder, "authenticator.ts")];
    const mutant = await importMutant<typeof authenticators>(join(folder, file), from, to, through);
    await using doors = await startDoors(undefined, mutant.createAuthenticator);
    await caught(() => attackOf(attack, fast)(doors));
  });

  test("a revocation that is not looked at", async () => {
    const folder = join(import.meta.dir, "../../identity");
    const mutant = await importMutant<typeof authenticators>(
      join(folder, "token-verifier.ts"),
      "revokedDevices.has(caller.id)",
      "false",
      [join(folder, "authenticator.ts")],
    );
    await using doors = await startDoors(undefined, mutant.createAuthenticator);
    await caught(() => revoke(doors));
  });
});
