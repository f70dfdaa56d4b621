import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { timestampMs } from "@bufbuild/protobuf/wkt";
import { AuthService } from "../../../gen/muin/identity/v1/auth_service_pb.ts";
import { BranchCreatedSchema, BranchUpdatedSchema } from "../../../gen/muin/identity/v1/branch_events_pb.ts";
import { DeviceService, DeviceState, type Device } from "../../../gen/muin/identity/v1/device_service_pb.ts";
import type { DeviceRevoked } from "../../../gen/muin/identity/v1/session_events_pb.ts";
import { systemRandom } from "../../../platform/clock/random.ts";
import { MuinError } from "../../../platform/errors/muin-error.ts";
import { createSignatureReader, type CallSignature } from "../../../platform/identity/call-signature.ts";
import type { Caller } from "../../../platform/identity/caller.ts";
import { signCall } from "../../../platform/identity/signed-call.ts";
import { createTokenVerifier } from "../../../platform/identity/token-verifier.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { mutantOf, outcomeOf, startAuth, type AuthFixture, type From } from "../auth-fixture.ts";
import { auth as real } from "../definition.ts";
import { makeActivationCode, normaliseActivationCode } from "./activation-code.ts";

// Each test has a database of its own, and machines are busy; a hang still ends.
setDefaultTimeout(30_000);

const hourMs = 60 * 60_000;
const keyWith = (...scopes: string[]): Caller => ({
  kind: "api_key",
  id: "k",
  principal: "api_key:k",
  scopes: new Set(scopes),
});
const operator = keyWith("devices.manage");
const personCalled = (id: string): Caller => ({
  kind: "person",
  id,
  principal: `person:${id}`,
  scopes: new Set(),
  sessionId: `s-${id}`,
});
const badCode = "Unauthenticated ACTIVATION_CODE_INVALID";
const badDevice = "Unauthenticated DEVICE_INVALID";
const forbidden = "PermissionDenied DEVICE_FORBIDDEN";

interface Pair {
  readonly privateKey: KeyObject;
  readonly publicKey: Uint8Array<ArrayBuffer>;
}

function makePair(): Pair {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const { x = "" } = publicKey.export({ format: "jwk" });
  return { privateKey, publicKey: new Uint8Array(Buffer.from(x, "base64url")) };
}

let nonces = 0;
/** The signature of a call, as a lane hands it on. */
function signatureBy(auth: AuthFixture, { privateKey }: Pair): CallSignature {
  const reader = createSignatureReader(auth);
  const call = { method: "/m", body: new Uint8Array(), timeMs: auth.clock.now(), nonce: `nonce-${1e15 + ++nonces}` };
  return reader.read(signCall(privateKey, call), call.method, call.body, "auth");
}

/** Auth that knows branches b1 and b2 of "ann" and b3 of "ben". */
async function startWithBranches(definition: ServiceInfo = real): Promise<AuthFixture> {
  const auth = await startAuth({ definition });
  const branches = { b1: "ann", b2: "ann", b3: "ben" };
  for (const [branchId, ownerId] of Object.entries(branches)) {
    await auth.deliver(BranchCreatedSchema, { branchId, branch: { branchId, ownerId }, aggregateVersion: 1n });
  }
  return auth;
}

const register = (auth: AuthFixture, branchIds: string[], caller: Caller = operator) =>
  auth.as(DeviceService, { caller }).registerDevice({ displayName: "Front door", branchIds });
const activate = (auth: AuthFixture, activationCode: string, pair: Pair, from: From = {}) =>
  auth
    .as(DeviceService, { signature: signatureBy(auth, pair), ...from })
    .activateDevice({ activationCode, publicKey: pair.publicKey });
const issue = (auth: AuthFixture, deviceId: string, pair: Pair) =>
  auth.as(DeviceService, { signature: signatureBy(auth, pair) }).issueDeviceToken({ deviceId });

/** A device that is active. */
async function makeDevice(auth: AuthFixture, branchIds = ["b1"]): Promise<{ device: Device; pair: Pair }> {
  const { activationCode } = await register(auth, branchIds);
  const pair = makePair();
  const { device } = await activate(auth, activationCode, pair);
  if (device === undefined) throw new Error("no device");
  return { device, pair };
}

/** A verifier of this auth's tokens, as every process has one. */
function verifierOf(auth: AuthFixture): ReturnType<typeof createTokenVerifier> {
  return createTokenVerifier({
    issuer: auth.config.issuer,
    fetchKeys: async () => (await auth.as(AuthService).listKeys({})).keys,
    refused: (why) => new MuinError({ code: "unauthenticated", reason: "REFUSED", message: why }),
    clock: auth.clock,
    log: auth.log,
  });
}

describe("activation codes", () => {
  test("have 60 bits, and one form however they are typed", () => {
    const codes = Array.from({ length: 500 }, () => makeActivationCode(systemRandom));
    for (const code of codes) expect(code).toMatch(/^(?:[0-9A-HJKMNP-TV-Z]{4}-?){3}$/);
    expect(new Set(codes.join("").replaceAll("-", "")).size).toBe(32);
    expect(new Set(codes).size).toBe(500);
    expect(normaliseActivationCode(" o1iL-abcd efgh")).toBe("0111ABCDEFGH");
    for (const wrong of ["", "0111-ABCD-EFG", "0111-ABCD-EFGHJ", "UUUU-UUUU-UUUU", "0111ABCDEFG!"]) {
      expect(normaliseActivationCode(wrong)).toBeUndefined();
    }
  });
});

describe("a device", () => {
  test("is registered, activated once, listed, and gets a token that every process understands", async () => {
    await using auth = await startWithBranches();
    const { device, activationCode, activationExpireTime } = await register(auth, ["b1", "b2"]);
    expect(device).toMatchObject({ displayName: "Front door", branchIds: ["b1", "b2"], state: DeviceState.PENDING });
    expect(timestampMs(activationExpireTime!)).toBeWithin(
      auth.clock.now() + hourMs - 5000,
      auth.clock.now() + hourMs + 1,
    );
    const [stored] = await auth.database.sql<{ text: string }[]>`SELECT d::text AS text FROM devices d`;
    expect(stored?.text).not.toContain(activationCode.replaceAll("-", ""));
    expect(stored?.text).not.toContain(activationCode);

    const pair = makePair();
    const active = (await activate(auth, activationCode.toLowerCase(), pair)).device!;
    expect(active).toMatchObject({ deviceId: device?.deviceId, state: DeviceState.ACTIVE });
    const { token, expireTime } = await issue(auth, active.deviceId, pair);
    expect(timestampMs(expireTime!) - auth.clock.now()).toBeWithin(24 * hourMs - 5000, 24 * hourMs + 1);
    expect(await verifierOf(auth).callerOf(token)).toMatchObject({
      kind: "device",
      principal: `device:${active.deviceId}`,
      branchIds: new Set(["b1", "b2"]),
      key: { x: Buffer.from(pair.publicKey).toString("base64url") },
    });
    const [listed] = (await auth.as(DeviceService, { caller: operator }).listDevices({})).devices;
    expect(listed).toMatchObject({ deviceId: active.deviceId, state: DeviceState.ACTIVE });
    expect(listed?.tokenTime).toBeDefined();
    const acts = await auth.database.sql<{ action: string; principal: string; subject: string }[]>`
      SELECT action, principal, subject FROM audit_log WHERE action LIKE '%DEVICE%' ORDER BY audit_id`;
    const subject = `device:${active.deviceId}`;
    expect([...acts]).toEqual([
      { action: "REGISTER_DEVICE", principal: "api_key:k", subject },
      { action: "ACTIVATE_DEVICE", principal: subject, subject },
      { action: "ISSUE_DEVICE_TOKEN", principal: subject, subject },
    ]);
  });

  test("takes its token from a signing key that stays published for as long as the token lives", async () => {
    await using auth = await startWithBranches();
    const { device, pair } = await makeDevice(auth);
    const { token, expireTime } = await issue(auth, device.deviceId, pair);
    auth.clock.advance(timestampMs(expireTime!) - auth.clock.now() - 60_000);
    expect(await verifierOf(auth).callerOf(token)).toMatchObject({ kind: "device" });
    const [key] = await auth.database.sql<{ ends: Date }[]>`SELECT max(token_expire_time) AS ends FROM signing_keys`;
    expect(key?.ends.getTime()).toBe(timestampMs(expireTime!));
  });

  test("whose reply was lost may activate again with the same key; the code is no other's", async () => {
    await using auth = await startWithBranches();
    const { activationCode } = await register(auth, ["b1"]);
    const [pair, stranger] = [makePair(), makePair()];
    const first = await activate(auth, activationCode, pair);
    expect((await activate(auth, activationCode, pair)).device?.deviceId).toBe(first.device?.deviceId ?? "none");
    expect(await outcomeOf(activate(auth, activationCode, stranger))).toBe(badCode);
    auth.clock.advance(hourMs);
    expect(await outcomeOf(activate(auth, activationCode, pair))).toBe(badCode);
  });

  test("of many who use one code at once, one gets it", async () => {
    await using auth = await startWithBranches();
    const { activationCode } = await register(auth, ["b1"]);
    const outcomes = await Promise.all(
      Array.from({ length: 8 }, (_, caller) =>
        outcomeOf(activate(auth, activationCode, makePair(), { address: `192.0.2.${caller}` })),
      ),
    );
    expect(outcomes.toSorted()).toEqual([...Array.from({ length: 7 }, () => badCode), "done"]);
  });

  test("is not activated without its key, with another's, or with a code that has ended or was revoked", async () => {
    await using auth = await startWithBranches();
    const { activationCode, device } = await register(auth, ["b1"]);
    const pair = makePair();
    expect(await outcomeOf(activate(auth, activationCode, pair, { signature: signatureBy(auth, makePair()) }))).toBe(
      "Unauthenticated SIGNATURE_INVALID",
    );
    const unsigned = auth.as(DeviceService).activateDevice({ activationCode, publicKey: pair.publicKey });
    expect(await outcomeOf(unsigned)).toBe("Unauthenticated SIGNATURE_MISSING");
    expect(await outcomeOf(activate(auth, "0000-0000-0000", pair))).toBe(badCode);
    expect(await outcomeOf(activate(auth, "nonsense", pair))).toBe(badCode);
    const other = await makeDevice(auth);
    expect(await outcomeOf(activate(auth, activationCode, other.pair))).toBe("FailedPrecondition DEVICE_KEY_TAKEN");
    const late = await register(auth, ["b1"]);
    auth.clock.advance(hourMs);
    expect(await outcomeOf(activate(auth, late.activationCode, pair))).toBe(badCode);
    const revoked = await register(auth, ["b1"]);
    await auth.as(DeviceService, { caller: operator }).revokeDevice({ deviceId: revoked.device?.deviceId ?? "" });
    expect(await outcomeOf(activate(auth, revoked.activationCode, pair))).toBe(badCode);
    expect(device?.state).toBe(DeviceState.PENDING);
  });

  test("guessing codes locks the network, and no other", async () => {
    await using auth = await startWithBranches();
    const pair = makePair();
    const outcomes = new Set<string>();
    for (let guess = 0; guess < 110 && outcomes.size < 2; guess++) {
      outcomes.add(await outcomeOf(activate(auth, makeActivationCode(systemRandom), pair)));
    }
    const [, lock = ""] = [...outcomes];
    expect(lock).toStartWith("ResourceExhausted");
    const { activationCode } = await register(auth, ["b1"]);
    expect(await outcomeOf(activate(auth, activationCode, pair))).toBe(lock);
    expect(await outcomeOf(activate(auth, activationCode, pair, { address: "198.51.100.1" }))).toBe("done");
  });

  test("gets no token by another's key, unsigned, before it is active or when it was revoked", async () => {
    await using auth = await startWithBranches();
    const { device, pair } = await makeDevice(auth);
    expect(await outcomeOf(issue(auth, device.deviceId, makePair()))).toBe(badDevice);
    expect(await outcomeOf(auth.as(DeviceService).issueDeviceToken({ deviceId: device.deviceId }))).toBe(
      "Unauthenticated SIGNATURE_MISSING",
    );
    const pending = await register(auth, ["b1"]);
    expect(await outcomeOf(issue(auth, pending.device?.deviceId ?? "", pair))).toBe(badDevice);
    expect(await outcomeOf(issue(auth, "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55", pair))).toBe(badDevice);
    expect(await outcomeOf(issue(auth, "nonsense", pair))).toBe(badDevice);
    const devices = auth.as(DeviceService, { caller: operator });
    await Promise.all([1, 2].map(() => devices.revokeDevice({ deviceId: device.deviceId })));
    expect(await outcomeOf(issue(auth, device.deviceId, pair))).toBe(badDevice);
    const events = (await auth.events()) as DeviceRevoked[];
    expect(events).toMatchObject([
      { $typeName: "muin.identity.v1.DeviceRevoked", deviceId: device.deviceId, aggregateVersion: 3n },
    ]);
  });

  test("is managed by who owns all its branches and by who holds the scope, and seen by nobody else", async () => {
    await using auth = await startWithBranches();
    const [ann, ben, eve] = ["ann", "ben", "eve"].map((id) => auth.as(DeviceService, { caller: personCalled(id) }));
    const own = (await ann!.registerDevice({ branchIds: ["b1", "b2"] })).device?.deviceId ?? "";
    const both = (await register(auth, ["b1", "b3"])).device?.deviceId ?? "";
    const idsSeenBy = async (client: typeof ann): Promise<string[]> =>
      (await client!.listDevices({})).devices.map(({ deviceId }) => deviceId);
    expect(await idsSeenBy(ann)).toEqual([own]);
    expect(await idsSeenBy(ben)).toEqual([]);
    expect(await idsSeenBy(eve)).toEqual([]);
    expect(await idsSeenBy(auth.as(DeviceService, { caller: operator }))).toEqual([both, own]);
    const refused = [
      ben!.registerDevice({ branchIds: ["b1"] }),
      ann!.registerDevice({ branchIds: ["b1", "b3"] }),
      ann!.registerDevice({ branchIds: ["nowhere"] }),
      ben!.revokeDevice({ deviceId: own }),
      ann!.revokeDevice({ deviceId: both }),
      ann!.revokeDevice({ deviceId: "0199c5f2-6f0c-7aa0-8d6e-0a4f3a6b1c55" }),
      auth.as(DeviceService, { caller: keyWith() }).listDevices({}),
      auth.as(DeviceService, { caller: keyWith("users.manage") }).registerDevice({ branchIds: ["b1"] }),
    ];
    expect(new Set(await Promise.all(refused.map(outcomeOf)))).toEqual(new Set([forbidden]));
    // A branch that was given to another takes its devices along.
    const branch = { branchId: "b3", ownerId: "ann" };
    await auth.deliver(BranchUpdatedSchema, { branchId: "b3", branch, aggregateVersion: 2n });
    expect(await idsSeenBy(ann)).toEqual([both, own]);
    await ann!.revokeDevice({ deviceId: both });
    expect(await idsSeenBy(ann)).toEqual([own]);
    const all = await ann!.listDevices({ showRevoked: true, branchId: "b3" });
    expect(all.devices).toMatchObject([{ deviceId: both, state: DeviceState.REVOKED }]);
    const unknown = auth.as(DeviceService, { caller: operator });
    expect(await outcomeOf(unknown.registerDevice({ branchIds: ["nowhere"] }))).toBe("NotFound BRANCH_NOT_FOUND");
    expect(await outcomeOf(unknown.revokeDevice({ deviceId: "nonsense" }))).toBe("NotFound DEVICE_NOT_FOUND");
  });

  test.each([
    ["no branch", { branchIds: [] }],
    ["33 branches", { branchIds: Array.from({ length: 33 }, (_, index) => `b${index}`) }],
    ["a branch twice", { branchIds: ["b1", "b1"] }],
    ["a line end in its name", { branchIds: ["b1"], displayName: "a\nb" }],
  ])("is not registered with %s", async (_, request) => {
    await using auth = await startWithBranches();
    const outcome = await outcomeOf(auth.as(DeviceService, { caller: operator }).registerDevice(request));
    expect(outcome).toBe("InvalidArgument FIELD_INVALID");
  });

  test("is listed in pages, and pruned when its code was not used or it was revoked long ago", async () => {
    await using auth = await startWithBranches();
    const devices = auth.as(DeviceService, { caller: operator });
    const { device } = await makeDevice(auth);
    for (let index = 0; index < 4; index++) await register(auth, ["b1"]);
    const seen: string[] = [];
    let pageToken = "";
    do {
      const page = await devices.listDevices({ pageSize: 2, pageToken });
      seen.push(...page.devices.map(({ deviceId }) => deviceId));
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(seen).toHaveLength(5);
    expect(new Set(seen).size).toBe(5);
    auth.clock.advance(26 * hourMs);
    await auth.prune();
    expect((await devices.listDevices({})).devices.map(({ deviceId }) => deviceId)).toEqual([device.deviceId]);
    await devices.revokeDevice({ deviceId: device.deviceId });
    auth.clock.advance(401 * 24 * hourMs);
    await auth.prune();
    expect((await devices.listDevices({ showRevoked: true })).devices).toEqual([]);
  });
});

describe("a broken rule is noticed", () => {
  const checks = {
    secondKey: async (auth: AuthFixture) => {
      const { activationCode } = await register(auth, ["b1"]);
      await activate(auth, activationCode, makePair());
      return outcomeOf(activate(auth, activationCode, makePair()));
    },
    ended: async (auth: AuthFixture) => {
      const { activationCode } = await register(auth, ["b1"]);
      auth.clock.advance(hourMs);
      return outcomeOf(activate(auth, activationCode, makePair()));
    },
    unproven: async (auth: AuthFixture) => {
      const { activationCode } = await register(auth, ["b1"]);
      return outcomeOf(activate(auth, activationCode, makePair(), { signature: signatureBy(auth, makePair()) }));
    },
    asDevice: async (auth: AuthFixture) => {
      const counted: (string | undefined)[] = [];
      const { activationCode } = await register(auth, ["b1"]);
      const signature: CallSignature = {
        prove: async (_key, stranger) => void counted.push(stranger?.network),
        replayCheck: "SHARED",
      };
      const { device } = await activate(auth, activationCode, makePair(), { signature });
      const issuing = auth.as(DeviceService, { signature }).issueDeviceToken({ deviceId: device?.deviceId ?? "" });
      expect(await outcomeOf(issuing)).toBe("done");
      return counted[0] === "192.0.2.1" && counted[1] === undefined ? "apart" : "done";
    },
    foreignToken: async (auth: AuthFixture) => {
      const { device } = await makeDevice(auth);
      return outcomeOf(issue(auth, device.deviceId, makePair()));
    },
    foreignBranch: (auth: AuthFixture) => outcomeOf(register(auth, ["b1"], personCalled("ben"))),
    guesses: async (auth: AuthFixture) => {
      const pair = makePair();
      let last = "";
      for (let guess = 0; guess < 102; guess++) last = await outcomeOf(activate(auth, "0000-0000-0000", pair));
      return last === badCode ? "done" : last;
    },
  };
  const broken: readonly [rule: string, file: string, from: string, to: string, check: keyof typeof checks][] = [
    [
      "a code is good for one key",
      "device/activation.ts",
      "(device.publicKey !== undefined && !isRepeat)",
      "false",
      "secondKey",
    ],
    [
      "a code ends",
      "device/store-postgres.ts",
      "activation_expire_time > ${new Date(nowMs)} FOR UPDATE",
      "true FOR UPDATE",
      "ended",
    ],
    [
      "the key signs its activation",
      "device/activation.ts",
      'await signature.prove(deviceKeyOf(Buffer.from(publicKey).toString("base64url")), { network });',
      "",
      "unproven",
    ],
    [
      "a key that nobody knows counts as a stranger's",
      "device/activation.ts",
      'toString("base64url")), { network });',
      'toString("base64url")));',
      "asDevice",
    ],
    [
      "the key signs for its token",
      "device/activation.ts",
      'if (!(await isProvenBy(x, signature))) return refuse("deviceInvalid");',
      "",
      "foreignToken",
    ],
    ["owners speak for their own branches", "device/rules.ts", "owner !== manager.ownerId", "false", "foreignBranch"],
    [
      "guesses are counted",
      "device/activation.ts",
      'const charged = await lockout.charge({ email: "", network });',
      "void networkOf; const charged = { charged: [], locks: false };",
      "guesses",
    ],
  ];
  test.each(broken)("%s", async (_, file, from, to, check) => {
    await using auth = await startWithBranches(real);
    expect(await checks[check](auth)).not.toBe("done");
    await using mutant = await startWithBranches(await mutantOf(file, from, to));
    expect(await checks[check](mutant)).toBe("done");
  });
});
