import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { create, fromJson, toBinary, toJson, type JsonValue } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Interceptor } from "@connectrpc/connect";
import { createGrpcTransport } from "@connectrpc/connect-node";
import {
  AccessDecisionSchema,
  AccessService,
  IdentifyRequestSchema,
  IdentifyResponseSchema,
  type AccessDecision,
} from "../gen/muin/face/v1/access_service_pb.ts";
import { EnrolmentService } from "../gen/muin/face/v1/enrolment_service_pb.ts";
import {
  Decision,
  DecisionReason,
  DecisionReasonSchema,
  DecisionSchema,
  EntryKind,
  ReplayCheck,
} from "../gen/muin/face/v1/entry_pb.ts";
import { FaceErasureState } from "../gen/muin/face/v1/face_erasure_pb.ts";
import { ErrorInfoSchema } from "../gen/google/rpc/error_details_pb.ts";
import { nameOf } from "../face/access/decision/meters.ts";
import { BranchService } from "../gen/muin/identity/v1/branch_service_pb.ts";
import { UserService } from "../gen/muin/identity/v1/user_service_pb.ts";
import { OperationsService } from "../gen/muin/platform/v1/operations_service_pb.ts";
import { systemClock } from "../platform/clock/clock.ts";
import { signatureHeader, signCall } from "../platform/identity/signed-call.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { startMuin, type TestMuin } from "../platform/testing/muin.ts";
import { deviceClient } from "./device-fixture.ts";
import {
  answerOf,
  ask,
  enrol,
  nearMiss,
  newDoorBranch,
  newDoorDevice,
  newNonce,
  newPicture,
  newVisitor,
  requestOf,
  strangersPicture,
  type DoorBranch,
  type DoorDevice,
  type Question,
  type Site,
  type Visitor,
} from "./door-fixture.ts";

setDefaultTimeout(60_000);

let muin: TestMuin;
let site: Site;
let branch: DoorBranch;
let device: DoorDevice;
let member: Visitor;
beforeAll(async () => {
  muin = await startMuin({ env: { MUIN_ACCESS_ATTEMPTS_PER_MINUTE_MAX: "100000" } });
  site = {
    client: (service, key) => muin.client(service, key),
    urlOf: () => muin.http,
    signUp: (account) => muin.signUp(account),
  };
  branch = await newDoorBranch(site);
  device = await newDoorDevice(site, branch.branchId);
  member = await newVisitor(site, branch.branchId, device);
});
afterAll(() => muin[Symbol.asyncDispose]());

const at = (embedding: Uint8Array<ArrayBuffer>): Question => ({ branchId: branch.branchId, embedding });

/** Asks over a protocol. */
type Protocol = (by: DoorDevice, question: Question) => Promise<AccessDecision | undefined>;

const identifyPath = `/${AccessService.typeName}/Identify`;

const signed = ({ privateKey, token }: DoorDevice, body: Uint8Array): Record<string, string> => ({
  authorization: `Bearer ${token}`,
  [signatureHeader]: signCall(privateKey, {
    method: identifyPath,
    body,
    timeMs: systemClock.now(),
    nonce: newNonce(),
  }),
});

const protocols: Readonly<Record<string, Protocol>> = {
  Connect: async ({ token, privateKey }, question) =>
    (await deviceClient(AccessService, muin.http, privateKey, token).identify(requestOf(question))).accessDecision,

  gRPC: async (by, question) => {
    const sign: Interceptor = (next) => (request) => {
      const message = request.message as Parameters<typeof toBinary>[1];
      for (const [name, value] of Object.entries(signed(by, toBinary(request.method.input, message)))) {
        request.header.set(name, value);
      }
      return next(request);
    };
    const transport = createGrpcTransport({ baseUrl: `http://${muin.grpc}`, interceptors: [sign] });
    return (await createClient(AccessService, transport).identify(requestOf(question))).accessDecision;
  },

  REST: async (by, question) => {
    const request = create(IdentifyRequestSchema, requestOf(question));
    const body = new TextEncoder().encode(JSON.stringify(toJson(IdentifyRequestSchema, request)));
    const headers = { "content-type": "application/json", ...signed(by, body) };
    const response = await fetch(`${muin.http}/api/v1/access:identify`, { method: "POST", headers, body });
    const reply = (await response.json()) as JsonValue;
    if (!response.ok) throw new Error(JSON.stringify(reply));
    return fromJson(IdentifyResponseSchema, reply).accessDecision;
  },
};

/** What a reply tells, beside the entry's id and the time. */
function told({ decision, reason, memberId }: AccessDecision) {
  return { decision: nameOf(DecisionSchema, decision), reason: nameOf(DecisionReasonSchema, reason), memberId };
}

const denied = { decision: "DENIED", reason: "NO_MATCH", memberId: "" };

describe.each(Object.entries(protocols))("over %s", (_, protocol) => {
  test("a member's face opens the door; a stranger's and one that is nearly somebody's do not, and look the same", async () => {
    const decisions: AccessDecision[] = [];
    for (const picture of [newPicture(member), strangersPicture(), nearMiss(member)]) {
      decisions.push((await protocol(device, at(picture)))!);
    }
    const admitted = { decision: "GRANTED", reason: "ADMITTED", memberId: member.userId };
    expect(decisions.map(told)).toEqual([admitted, denied, denied]);
    const [, stranger, near] = decisions.map((decision) => toBinary(AccessDecisionSchema, decision).byteLength);
    // The time may take a byte less.
    expect(Math.abs(stranger! - near!)).toBeLessThanOrEqual(1);
  });
});

/** What Identify says to a new picture of somebody. */
const saidTo = async (visitor: Visitor): Promise<string> => (await ask(site, device, at(newPicture(visitor)))).said;

test("a face is held against one person's by Verify", async () => {
  const other = await newVisitor(site, branch.branchId, device);
  const verify = (embedding: Uint8Array<ArrayBuffer>, memberId: string) =>
    answerOf(
      deviceClient(AccessService, muin.http, device.privateKey, device.token)
        .verify({ ...requestOf(at(embedding)), memberId })
        .then(({ accessDecision }) => accessDecision),
    );
  expect((await verify(newPicture(other), other.userId)).said).toBe("ADMITTED");
  expect((await verify(newPicture(other), member.userId)).said).toBe("NO_MATCH");
  expect((await verify(newPicture(other), crypto.randomUUID())).said).toBe("NO_MATCH");
});

test("a membership that rests, ends or is suspended closes the door, within a moment", async () => {
  const visitor = await newVisitor(site, branch.branchId, device);
  const { userId } = visitor;
  const users = muin.client(UserService);
  const becomes = (said: string): Promise<void> =>
    eventually(async () => expect(await saidTo(visitor)).toBe(said), { timeoutMs: 20_000 });
  await users.pauseMembership({ userId });
  await becomes("NO_MEMBERSHIP");
  await users.resumeMembership({ userId });
  await becomes("ADMITTED");
  await users.suspendUser({ userId, reason: "lost card" });
  await becomes("NOT_ACTIVE");
  await users.reactivateUser({ userId });
  await becomes("ADMITTED");
  await users.endMembership({ userId });
  await becomes("NO_MEMBERSHIP");
});

test("a full branch opens again when somebody went out", async () => {
  const small = await newDoorBranch(site);
  const there = await newDoorDevice(site, small.branchId);
  const [one, other] = [await newVisitor(site, small.branchId, there), await newVisitor(site, small.branchId, there)];
  await muin.client(BranchService).updateBranch({
    branch: { branchId: small.branchId, entryRules: { capacityMax: 1 } },
    updateMask: { paths: ["entry_rules"] },
  });
  const doors = deviceClient(AccessService, muin.http, there.privateKey, there.token);
  const goesOut = async ({ userId }: Visitor): Promise<void> => {
    const { branchId, capturedAt, nonce } = requestOf({ branchId: small.branchId, embedding: new Uint8Array() });
    await doors.recordExit({ branchId, capturedAt, nonce, memberId: userId });
  };
  const comes = async (visitor: Visitor): Promise<string> =>
    (await ask(site, there, { branchId: small.branchId, embedding: newPicture(visitor) })).said;
  await Promise.all([one, other].map(goesOut)); // Both came in when the door was tried.
  // The branch's new rules come by an event.
  await eventually(async () => {
    expect(await comes(one)).toBe("ADMITTED");
    const second = await comes(other);
    if (second === "ADMITTED") await goesOut(other);
    expect(second).toBe("FULL");
  });
  expect(await comes(one)).toBe("ADMITTED"); // Who is inside takes no second place.
  await goesOut(one);
  expect(await comes(other)).toBe("ADMITTED");
});

test("what came to the door is listed, watched without a gap, published, and seen by whom it concerns", async () => {
  const { branchId } = branch;
  const entries = muin.client(AccessService);
  const filter = { branchId, kind: EntryKind.IDENTIFY };
  const watched: string[] = [];
  const watch = async (resumeToken: string, until: () => boolean): Promise<string> => {
    for await (const told of entries.watchEntries({ filter, resumeToken }, { timeoutMs: 30_000 })) {
      watched.push(...told.entries.map(({ entryId }) => entryId));
      resumeToken = told.resumeToken;
      if (until()) break;
    }
    return resumeToken;
  };
  const token = await watch("", () => true);
  const granted = (await ask(site, device, at(newPicture(member)))).decision!.entryId;
  const turnedAway = (await ask(site, device, at(strangersPicture()))).decision!.entryId;
  const further = await watch(token, () => watched.length >= 1);
  if (watched.length < 2) await watch(further, () => watched.length >= 2);
  expect(watched).toEqual([granted, turnedAway]);

  const { entries: listed } = await entries.listEntries({ filter, pageSize: 2 });
  expect(listed).toMatchObject([
    { entryId: turnedAway, memberId: "", reason: DecisionReason.NO_MATCH, decision: Decision.DENIED },
    { entryId: granted, memberId: member.userId, reason: DecisionReason.ADMITTED, replayCheck: ReplayCheck.SHARED },
  ]);
  const events = new Map<string, string>();
  const tail = muin.client(OperationsService).tailEvents({ topic: "face.entry", fromStart: true });
  for await (const { type, dataJson } of tail) {
    events.set((JSON.parse(dataJson) as { entryId: string }).entryId, type);
    if (events.has(turnedAway)) break;
  }
  expect([granted, turnedAway].map((entryId) => events.get(entryId))).toEqual([
    "muin.face.v1.EntryGranted",
    "muin.face.v1.EntryDenied",
  ]);

  const as = (accessToken: string) => muin.client(AccessService, accessToken);
  expect((await as(branch.ownerToken).listEntries({ filter, pageSize: 1 })).entries).toHaveLength(1);
  const own = (await as(member.accessToken).listEntries({})).entries;
  expect(new Set(own.map(({ memberId }) => memberId))).toEqual(new Set([member.userId]));
  expect(await reasonOf(as(member.accessToken).listEntries({ filter }))).toBe("ENTRY_FORBIDDEN");
  expect(await reasonOf(as(member.accessToken).getEntry({ entryId: turnedAway }))).toBe("ENTRY_FORBIDDEN");
});

test("a face that was erased opens the door no more, and opens it again once it is enrolled anew", async () => {
  const visitor = await newVisitor(site, branch.branchId, device);
  const { enrolmentId } = visitor;
  const enrolments = muin.client(EnrolmentService);
  const { erasure } = await enrolments.eraseFace({ enrolmentId });
  expect(erasure?.state).toBe(FaceErasureState.DONE);
  expect(await saidTo(visitor)).toBe("NO_MATCH");
  await eventually(async () => {
    const { erasure: now } = await enrolments.getFaceErasure({ enrolmentId });
    expect(now?.receipt).not.toBe("");
  });
  const again = await enrol(site, branch.branchId, visitor, visitor.person);
  expect(again.enrolmentId).not.toBe(enrolmentId);
  expect(await saidTo(again)).toBe("ADMITTED");
});

test("a device asks for its own branches, by their model, with faces that can be compared, each once", async () => {
  const elsewhere = (await newDoorBranch(site)).branchId;
  const question = at(newPicture(member));
  expect((await ask(site, device, { ...question, branchId: elsewhere })).said).toBe("BRANCH_NOT_OF_DEVICE");
  const doors = deviceClient(AccessService, muin.http, device.privateKey, device.token);
  const saidTo = (changed: Partial<ReturnType<typeof requestOf>>): Promise<string> =>
    reasonOf(doors.identify({ ...requestOf(at(newPicture(member))), ...changed }));
  expect(await saidTo({ modelId: "unknown" })).toBe("MODEL_NOT_ACTIVE");
  for (const floats of [
    Float32Array.from({ length: 511 }, () => 1),
    Float32Array.from({ length: 512 }, (_, k) => (k === 7 ? Number.NaN : 1)),
    Float32Array.from({ length: 512 }, (_, k) => (k === 7 ? Infinity : 1)),
    new Float32Array(512),
  ]) {
    expect(await saidTo({ embedding: new Uint8Array(floats.buffer) })).toBe("EMBEDDING_INVALID");
  }
  const nonce = newNonce();
  const first = await ask(site, device, { ...question, nonce });
  expect((await ask(site, device, { ...question, nonce: newNonce() })).said).toBe("EMBEDDING_REPLAYED");
  expect((await ask(site, device, { ...at(newPicture(member)), nonce })).said).toBe("NONCE_REUSED");
  expect(first.said).toBe("ADMITTED");
});

test("a device that is denied too often is locked out, by itself", async () => {
  const guessing = await newDoorDevice(site, branch.branchId);
  const said: string[] = [];
  while (!said.includes("DEVICE_LOCKED_OUT") && said.length < 40) {
    said.push((await ask(site, guessing, at(strangersPicture()))).said);
  }
  expect(new Set(said.slice(0, 30))).toEqual(new Set(["NO_MATCH"]));
  expect(said.slice(30)).toEqual(["DEVICE_LOCKED_OUT"]);
  expect((await ask(site, guessing, at(newPicture(member)))).said).toBe("DEVICE_LOCKED_OUT");
  expect(await saidTo(member)).toBe("ADMITTED");
});

/** The reason why a call was refused; "ok" when it was not. */
async function reasonOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return "ok";
  } catch (error) {
    const failure = ConnectError.from(error);
    return failure.findDetails(ErrorInfoSchema)[0]?.reason ?? Code[failure.code];
  }
}
