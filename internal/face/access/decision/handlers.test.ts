import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { Decision, DecisionReason, DecisionReasonSchema, EntryKind } from "../../../gen/muin/face/v1/entry_pb.ts";
import { BranchState, type BranchSchema, type Weekday } from "../../../gen/muin/identity/v1/branch_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import {
  anyEmbedding,
  essenceOf,
  newNonce,
  reader,
  reasonOf,
  seenAgain,
  startAccess,
  type AccessFixture,
} from "../access-fixture.ts";
import { nameOf } from "./meters.ts";

setDefaultTimeout(30_000);

let redis: TestRedis;
let service: AccessFixture;
/** A second process, with the same stores. */
let other: AccessFixture;
beforeAll(async () => {
  redis = await startRedis();
  service = await startAccess(redis.url, { config: { denialsMax: 10 } });
  other = await startAccess(redis.url, { config: { denialsMax: 10 } });
});
afterAll(async () => {
  await other[Symbol.asyncDispose]();
  await service[Symbol.asyncDispose]();
  await redis.stop();
});

function dot(one: Float32Array, other: Float32Array): number {
  return one.reduce((sum, value, place) => sum + value * (other[place] as number), 0);
}

/** An embedding of these numbers. */
function floats(make: (place: number) => number): Uint8Array {
  return new Uint8Array(Float32Array.from({ length: 64 }, (_, place) => make(place)).buffer);
}

/** The same face once more, a little louder: its direction is the same, its bytes are not. */
function shifted(face: Float32Array): Uint8Array {
  const scale = 1 + Math.random() / 10;
  return new Uint8Array(face.map((value) => value * scale).buffer);
}

/** How often each command came to the face store. */
const counts = async (): Promise<Map<string, number>> => {
  const stats = await service.redis.client.info("commandstats");
  return new Map(Array.from(stats.matchAll(/cmdstat_(\w+):calls=(\d+)/g), ([, name, calls]) => [name!, Number(calls)]));
};

/** How often each command of a decision came to the face store: the least of several times, since others ask it too. */
async function commandsOf(work: () => Promise<unknown>): Promise<Record<string, number>> {
  const least: Record<string, number> = {};
  for (let round = 0; round < 10; round += 1) {
    const before = await counts();
    await work();
    const after = await counts();
    for (const name of ["zscore", "mget", "hmget", "get", "hget", "sismember", "evalsha"]) {
      const calls = (after.get(name) ?? 0) - (before.get(name) ?? 0);
      least[name] = Math.min(least[name] ?? Infinity, calls);
    }
  }
  return least;
}

/** A day that is far from today in every time zone. */
const notNow = () => ({
  day: (((new Date().getUTCDay() + 3) % 7) + 1) as Weekday,
  period: { openMinute: 0, closeMinute: 1440 },
});

describe("a face", () => {
  test("of a member opens the door, and says whose it is", async () => {
    const branchId = await service.newBranch();
    const member = await service.newMember(branchId);
    const decided = await service.identify(service.newDevice(branchId), { embedding: seenAgain(member.embedding) });
    expect(decided).toMatchObject({ decision: Decision.GRANTED, reason: DecisionReason.ADMITTED, memberId: member.id });
    const entry = await eventually(() => service.entry(decided.entryId));
    expect(essenceOf(entry)).toEqual({
      kind: "IDENTIFY",
      reason: "ADMITTED",
      memberId: member.id,
      replayCheck: "SHARED",
    });
    expect(entry).toMatchObject({ branchId, decision: Decision.GRANTED, modelId: "model", snapshotAgeMs: 0n });
    expect([entry.decideMicros > entry.searchMicros, entry.searchMicros > 0n]).toEqual([true, true]);
  });

  test("of a stranger, and one that is nearly somebody's, get the same answer", async () => {
    const branchId = await service.newBranch();
    const member = await service.newMember(branchId);
    const device = service.newDevice(branchId);
    const far = new Float32Array(member.embedding.slice().buffer);
    const any = new Float32Array(anyEmbedding().buffer);
    const share = dot(any, far) / dot(far, far);
    const stranger = any.map((value, place) => value - share * far[place]!);
    const scale = Math.sqrt(dot(far, far) / dot(stranger, stranger));
    // At a cosine of 0.45: below the threshold of 0.5.
    const near = far.map((value, place) => value + 2 * scale * stranger[place]!);
    const answers = [];
    const asks: Record<string, number>[] = [];
    await service.identify(device, {}); // The branch's gallery is known from now on.
    for (const floats of [stranger, near]) {
      const { entryId, serverTime, ...rest } = await service.identify(device, {
        embedding: new Uint8Array(floats.buffer),
      });
      answers.push({ ...rest, hasId: entryId !== "" && serverTime !== undefined });
      const ask = () => service.identify(service.newDevice(branchId), { embedding: shifted(floats) });
      asks.push(await commandsOf(ask));
    }
    expect(answers[0]).toMatchObject({
      decision: Decision.DENIED,
      reason: DecisionReason.NO_MATCH,
      memberId: "",
      hasId: true,
    });
    expect(answers[1]).toEqual(answers[0]);
    // It cannot be told from how long they take either: the face store is asked the same.
    expect(asks[0]).toMatchObject({ zscore: 1, mget: 1 });
    expect(asks[1]).toEqual(asks[0]);
  });

  test("is held against one person's", async () => {
    const branchId = await service.newBranch();
    const [ann, ben] = [await service.newMember(branchId), await service.newMember(branchId)];
    const device = service.newDevice(branchId);
    const decided = await service.verify(device, { embedding: seenAgain(ann.embedding), memberId: ann.id });
    expect(decided).toMatchObject({ reason: DecisionReason.ADMITTED, memberId: ann.id });
    const entry = await eventually(() => service.entry(decided.entryId));
    expect(entry.kind).toBe(EntryKind.VERIFY);
    const asBen = service.verify(device, { embedding: seenAgain(ann.embedding), memberId: ben.id });
    expect(await reasonOf(asBen)).toBe("NO_MATCH");
  });

  const always = {
    weekly: [1, 2, 3, 4, 5, 6, 7].map((day) => ({ day: day as Weekday, period: { openMinute: 0, closeMinute: 1440 } })),
  };
  test.each<[string, MessageInitShape<typeof BranchSchema>, object]>([
    ["BRANCH_CLOSED", { state: BranchState.CLOSED }, {}],
    ["OUTSIDE_OPENING_HOURS", { openingHours: { weekly: [] } }, {}],
    ["ADMITTED", { openingHours: always }, {}],
    ["NO_MEMBERSHIP", {}, { paused: true }],
    ["NO_MEMBERSHIP", {}, { untilTime: timestampFromMs(1) }],
    ["PLAN_NOT_ADMITTED", { entryRules: { plans: [{ plan: "gold" }] } }, {}],
    ["OUTSIDE_PLAN_HOURS", { entryRules: { plans: [{ plan: "standard", weekly: [notNow()] }] } }, {}],
    ["PRESENTATION_ATTACK", { entryRules: { presentationAttackScoreRequired: true } }, {}],
  ])("is judged by the branch's rules: %s", async (reason, branch, membership) => {
    const branchId = await service.newBranch(branch);
    const { id, embedding } = await service.newMember(branchId, { plan: "standard", ...membership });
    const decided = await service.identify(service.newDevice(branchId), { embedding: seenAgain(embedding) });
    expect(nameOf(DecisionReasonSchema, decided.reason)).toBe(reason);
    expect(decided.memberId).toBe(reason === "ADMITTED" ? id : "");
    const entry = await eventually(() => service.entry(decided.entryId));
    expect(entry.memberId).toBe(id);
  });

  test("needs the device's score, and a good one, where the branch wants it", async () => {
    const branchId = await service.newBranch({ entryRules: { presentationAttackScoreRequired: true } });
    const { embedding } = await service.newMember(branchId);
    const device = service.newDevice(branchId);
    const scored = (padScore: number) =>
      reasonOf(service.identify(device, { embedding: seenAgain(embedding), padScore }));
    expect([await scored(0.49), await scored(0.5)]).toEqual(["PRESENTATION_ATTACK", "ADMITTED"]);
  });

  test("of staff opens always, but not while they are suspended; nor anybody's who is deleted", async () => {
    const branchId = await service.newBranch();
    const [ann, ben] = [await service.newMember(branchId), await service.newMember(branchId)];
    await service.changeBranch(branchId, { state: BranchState.CLOSED }, [ann.id]);
    const device = service.newDevice(branchId);
    const at = (embedding: Uint8Array) => reasonOf(service.identify(device, { embedding: seenAgain(embedding) }));
    expect([await at(ann.embedding), await at(ben.embedding)]).toEqual(["ADMITTED", "BRANCH_CLOSED"]);
    await service.statusChanged(ann.id, UserStatus.SUSPENDED, 1n);
    await service.statusChanged(ben.id, UserStatus.DELETED, 1n);
    expect([await at(ann.embedding), await at(ben.embedding)]).toEqual(["NOT_ACTIVE", "NOT_ACTIVE"]);
    await service.statusChanged(ann.id, UserStatus.ACTIVE, 2n);
    await service.statusChanged(ann.id, UserStatus.SUSPENDED, 1n); // Too late to count.
    expect(await at(ann.embedding)).toBe("ADMITTED");
  });

  test("finds a branch full until somebody goes out", async () => {
    const branchId = await service.newBranch({ entryRules: { capacityMax: 1 } });
    const [ann, ben] = [await service.newMember(branchId), await service.newMember(branchId)];
    const device = service.newDevice(branchId);
    const at = (embedding: Uint8Array) => reasonOf(service.identify(device, { embedding: seenAgain(embedding) }));
    expect(await at(ann.embedding)).toBe("ADMITTED");
    expect(await at(ann.embedding)).toBe("ADMITTED");
    expect(await at(ben.embedding)).toBe("FULL");
    const entryId = await other.exit(device, branchId, ann.id);
    expect(await at(ben.embedding)).toBe("ADMITTED");
    const entry = await eventually(() => other.entry(entryId));
    expect(entry).toMatchObject({
      kind: EntryKind.EXIT,
      decision: Decision.UNSPECIFIED,
      memberId: ann.id,
      modelId: "",
    });
  });
});

describe("an attempt is refused", () => {
  test("for another branch than the device's, and with another header", async () => {
    const branchId = await service.newBranch();
    const device = service.newDevice(branchId);
    expect(await reasonOf(service.identify(device, { branchId: await service.newBranch() }))).toBe(
      "BRANCH_NOT_OF_DEVICE",
    );
    expect(await reasonOf(service.identify(device, {}, "another"))).toBe("BRANCH_HEADER_DIFFERS");
    expect(await reasonOf(service.identify(device, {}, branchId))).toBe("NO_MATCH");
  });

  test("when its capture is more than 30 s away", async () => {
    const device = service.newDevice(await service.newBranch());
    const at = (skewMs: number) => reasonOf(service.identify(device, { capturedAtMs: Date.now() + skewMs }));
    expect([await at(-31_000), await at(31_000)]).toEqual(["CAPTURE_TIME", "CAPTURE_TIME"]);
    expect([await at(-29_000), await at(29_000)]).toEqual(["NO_MATCH", "NO_MATCH"]);
  });

  test("for a model that does not decide, and an embedding that cannot be compared; it may come again", async () => {
    const branchId = await service.newBranch();
    const device = service.newDevice(branchId);
    expect(await reasonOf(service.identify(device, { modelId: "another" }))).toBe("MODEL_NOT_ACTIVE");
    for (const embedding of [new Uint8Array(12), floats(() => 0), floats(() => NaN), floats(() => Infinity)]) {
      expect(await reasonOf(service.identify(device, { embedding }))).toBe("EMBEDDING_INVALID");
      expect(await reasonOf(service.identify(device, { embedding, nonce: newNonce() }))).toBe("EMBEDDING_INVALID");
    }
    const unknown = service.newDevice("unknown");
    expect(await reasonOf(service.identify(unknown, {}))).toBe("MODEL_NOT_ACTIVE");
  });

  test("when the store may show people who were erased", async () => {
    const device = service.newDevice(await service.newBranch());
    const mark = await service.redis.client.get("{face}:g:fresh");
    await service.redis.client.set("{face}:g:fresh", "another process");
    expect(await reasonOf(service.identify(device, {}))).toBe("FACE_STORE_UNAVAILABLE");
    await service.redis.client.set("{face}:g:fresh", mark ?? "");
    expect(await reasonOf(service.identify(device, {}))).toBe("NO_MATCH");
  });
});

describe("a repeat", () => {
  test("gets the first decision, also from another process, and when both come at once", async () => {
    const branchId = await service.newBranch();
    const { id, embedding } = await service.newMember(branchId);
    const device = service.newDevice(branchId);
    const asked = { embedding: seenAgain(embedding), nonce: newNonce(), capturedAtMs: Date.now() };
    const processes = [service, other, service, other, service, other];
    const decided = await Promise.all(processes.map((process) => process.identify(device, asked)));
    expect(new Set(decided.map(({ entryId }) => entryId)).size).toBe(1);
    expect(decided.every(({ memberId, decision }) => memberId === id && decision === Decision.GRANTED)).toBe(true);
    await service.changeBranch(branchId, { state: BranchState.CLOSED });
    const later = await Promise.all([service, other].map((process) => process.identify(device, asked)));
    for (const { entryId, reason } of later) {
      expect([entryId, reason]).toEqual([decided[0]!.entryId, DecisionReason.ADMITTED]);
    }
    const logs = await Promise.all(
      [service, other].map((process) => eventually(() => process.entry(decided[0]!.entryId))),
    );
    expect(logs.map((entry) => entry.memberId)).toEqual([id, id]);
  });

  test("with other bytes, or with the same face under another nonce, is refused by every process", async () => {
    const device = service.newDevice(await service.newBranch());
    const asked = { embedding: anyEmbedding(), nonce: newNonce(), capturedAtMs: Date.now() };
    await service.identify(device, asked);
    for (const process of [service, other]) {
      expect(await reasonOf(process.identify(device, { ...asked, embedding: anyEmbedding() }))).toBe("NONCE_REUSED");
      expect(await reasonOf(process.identify(device, { ...asked, capturedAtMs: asked.capturedAtMs + 1 }))).toBe(
        "NONCE_REUSED",
      );
      expect(await reasonOf(process.identify(device, { ...asked, nonce: newNonce() }))).toBe("EMBEDDING_REPLAYED");
    }
  });

  test("of an attempt that came to nothing is decided", async () => {
    const branchId = await service.newBranch();
    const { embedding } = await service.newMember(branchId);
    const device = service.newDevice(branchId);
    const asked = { embedding: seenAgain(embedding), nonce: newNonce(), capturedAtMs: Date.now() };
    const mark = await service.redis.client.get("{face}:g:fresh");
    await service.redis.client.set("{face}:g:fresh", "another process");
    expect(await reasonOf(service.identify(device, asked))).toBe("FACE_STORE_UNAVAILABLE");
    await service.redis.client.set("{face}:g:fresh", mark ?? "");
    expect(await reasonOf(other.identify(device, asked))).toBe("ADMITTED");
  });
});

describe("a device that tries strangers", () => {
  test("is locked out, also in a burst over two processes", async () => {
    const branchId = await service.newBranch();
    const { embedding } = await service.newMember(branchId);
    const device = service.newDevice(branchId);
    const answers = await Promise.all(
      Array.from({ length: 100 }, (_, n) => reasonOf((n % 2 === 0 ? service : other).identify(device, {}))),
    );
    const counts = (reason: string) => answers.filter((answer) => answer === reason).length;
    expect(counts("NO_MATCH")).toBeLessThanOrEqual(10);
    expect(counts("NO_MATCH") + counts("DEVICE_BUSY") + counts("DEVICE_LOCKED_OUT")).toBe(100);
    for (let tries = 0; tries < 10; tries += 1) await reasonOf(service.identify(device, {}));
    for (const process of [service, other]) {
      expect(await reasonOf(process.identify(device, { embedding: seenAgain(embedding) }))).toBe("DEVICE_LOCKED_OUT");
    }
    expect(await service.exit(device, branchId, "somebody")).not.toBe("");
    expect(await reasonOf(service.identify(service.newDevice(branchId), { embedding: seenAgain(embedding) }))).toBe(
      "ADMITTED",
    );
  });
});

test("an entry says nothing of vectors and scores, nor does an event", async () => {
  const branchId = await service.newBranch();
  const { id, embedding } = await service.newMember(branchId);
  const device = service.newDevice(branchId);
  await service.identify(device, { embedding: seenAgain(embedding) });
  await service.identify(device, {});
  const events = await eventually(async () => {
    const all = (await service.events()).filter((event) => (event as { branchId?: string }).branchId === branchId);
    expect(all.length).toBe(2);
    return all;
  });
  expect(events).toMatchObject([
    { $typeName: "muin.face.v1.EntryGranted", memberId: id, deviceId: device.id },
    { $typeName: "muin.face.v1.EntryDenied", reason: DecisionReason.NO_MATCH },
  ]);
  const { entries } = await service.entries(reader).listEntries({ filter: { branchId } });
  for (const told of [...events, ...entries]) {
    for (const value of Object.values(told)) expect(value).not.toBeInstanceOf(Uint8Array);
  }
});
