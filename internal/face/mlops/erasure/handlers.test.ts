import { create, isMessage } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { FaceVectorErasedSchema } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import { FaceErasureState, FaceErasureStepKind, type FaceErasure } from "../../../gen/muin/face/v1/face_erasure_pb.ts";
import { UserDataErasedSchema, UserStatusChangedSchema } from "../../../gen/muin/identity/v1/user_events_pb.ts";
import { UserStatus } from "../../../gen/muin/identity/v1/user_pb.ts";
import { anonymous, type Caller } from "../../../platform/identity/caller.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { partsOf } from "../../../platform/service/parts.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import type { TestRedis } from "../../../platform/testing/redis.ts";
import { positionsKey } from "../../shared/instances.ts";
import { changesKey, denyKey } from "../../shared/key-schema.ts";
import { startErasure, startFaceRedis, type Enrolled, type ErasureFixture } from "./erasure-fixture.ts";

setDefaultTimeout(30_000);

let redis: TestRedis;
let faces: ErasureFixture;
beforeAll(async () => {
  redis = await startFaceRedis();
  faces = await startErasure({ redis });
});
afterAll(async () => {
  await faces[Symbol.asyncDispose]();
  await redis.stop();
});

const person = (id: string): Caller => ({
  kind: "person",
  id,
  principal: `person:${id}`,
  scopes: new Set(),
  sessionId: `session of ${id}`,
});

const outcomeOf = (call: Promise<unknown>): Promise<string> =>
  call.then(
    () => "ok",
    (error: { readonly message?: string }) => error.message ?? "failed",
  );

const kindsOf = ({ steps }: FaceErasure): readonly string[] =>
  steps.map(({ kind }) => Object.entries(FaceErasureStepKind).find(([, value]) => value === kind)?.[0] ?? "");

/** Everything of an erasure is done. */
const allSteps = ["RECORDED", "DENIED", "APPLIED", "REMOVED", "PROBED", "PURGED", "SETTLED", "SIGNED"];

const erase = async (on: ErasureFixture, { enrolmentId }: Enrolled, caller?: Caller): Promise<FaceErasure> => {
  const { erasure } = await on.enrolments(caller).eraseFace({ enrolmentId });
  if (erasure === undefined) throw new Error("an erasure is in its reply");
  return erasure;
};

/** Waits for the receipt. */
const signed = (on: ErasureFixture, face: Enrolled): Promise<FaceErasure> =>
  on.withBackground(() =>
    eventually(async () => {
      const erasure = await on.erasureOf(face);
      expect(kindsOf(erasure)).toEqual(allSteps);
      return erasure;
    }),
  );

describe("erasing a face", () => {
  test("closes every door to it at once, leaves nothing of it, and ends with a receipt", async () => {
    const [one, other] = [await faces.newBranch(), await faces.newBranch()];
    const face = await faces.enrol({ branchIds: [one, other] });
    const neighbour = await faces.enrol({ branchIds: [one] });
    expect([await faces.lookUp(face, one), await faces.lookUp(face, other)]).toEqual(["GRANTED", "GRANTED"]);
    expect(await faces.traces(face)).toEqual(["{face}:g:changes", "{face}:g:copy", "{face}:g:names", "{face}:g:set"]);

    const erasure = await erase(faces, face);
    expect(erasure).toMatchObject({
      enrolmentId: face.enrolmentId,
      memberId: face.memberId,
      branchIds: face.branchIds,
      modelId: "arc",
      state: FaceErasureState.DONE,
      pendingInstances: [],
      receipt: "",
    });
    expect(kindsOf(erasure)).toEqual(["RECORDED", "DENIED", "APPLIED"]);
    expect([await faces.lookUp(face, one), await faces.lookUp(face, other)]).toEqual(["DENIED", "DENIED"]);

    const done = await signed(faces, face);
    expect(done.erasureId).toBe(erasure.erasureId);
    expect(done.steps.find(({ kind }) => kind === FaceErasureStepKind.PROBED)?.detail).toStartWith("searched for 2 of");
    expect(await faces.traces(face)).toEqual(["{face}:g:deny"]);
    expect(await faces.lookUp(neighbour)).toBe("GRANTED");
    const told = (await faces.events()).filter((event) => isMessage(event, FaceVectorErasedSchema));
    expect(told).toMatchObject([{ enrolmentId: face.enrolmentId, memberId: face.memberId, aggregateVersion: 2n }]);
    expect((await faces.erasureOf(face)).receipt).toBe(done.receipt);
    expect(await outcomeOf(faces.enrolments().getEnrolment({ enrolmentId: face.enrolmentId }))).toContain(
      "there is no",
    );
  });

  test("asked for again, by however many at once, is the same erasure; enrolling anew works", async () => {
    const face = await faces.enrol();
    const erasures = await Promise.all(Array.from({ length: 6 }, () => erase(faces, face)));
    expect(new Set(erasures.map(({ erasureId, state }) => `${erasureId} ${state}`)).size).toBe(1);
    const anew = await faces.enrol({ ...face });
    expect(anew.enrolmentId).not.toBe(face.enrolmentId);
    expect(await faces.lookUp(anew)).toBe("GRANTED");
    await signed(faces, face);
    expect(await faces.lookUp(anew)).toBe("GRANTED");
    expect((await erase(faces, face)).receipt).not.toBe("");
  });

  test("is for the person themself, suspended or not, who manages all its branches, and who manages all faces", async () => {
    const owner = crypto.randomUUID();
    const owned = await faces.newBranch(owner);
    const [mine, managed] = [await faces.enrol(), await faces.enrol({ branchIds: [owned] })];
    await faces.deliver(
      create(UserStatusChangedSchema, {
        userId: mine.memberId,
        status: UserStatus.SUSPENDED,
        aggregateVersion: 2n,
      }),
    );
    const forbidden = "only who owns";
    for (const face of [mine, managed, { ...mine, enrolmentId: "none" }]) {
      expect(await outcomeOf(erase(faces, face, person("stranger")))).toContain(forbidden);
      const { enrolmentId } = face;
      expect(await outcomeOf(faces.enrolments(person("stranger")).getFaceErasure({ enrolmentId }))).toContain(
        forbidden,
      );
    }
    expect(await outcomeOf(erase(faces, mine, person(owner)))).toContain(forbidden);
    expect((await erase(faces, mine, person(mine.memberId))).state).toBe(FaceErasureState.DONE);
    expect((await erase(faces, managed, person(owner))).state).toBe(FaceErasureState.DONE);
    expect(await outcomeOf(erase(faces, { ...mine, enrolmentId: "none" }))).toContain("there is no enrolment none");
  });

  test("never loses its place: no look-up that begins after the reply opens a door", async () => {
    const face = await faces.enrol();
    let done = false;
    const began = Array.from({ length: 4 }, async () => {
      const late: string[] = [];
      for (let left = 20; left > 0;) {
        const isLate = done;
        const outcome = await faces.lookUp(face);
        if (isLate) {
          late.push(outcome);
          left -= 1;
        }
      }
      return late;
    });
    await faces.withBackground(async () => {
      await erase(faces, face);
      done = true;
      const outcomes = (await Promise.all(began)).flat();
      expect(new Set(outcomes)).toEqual(new Set(["DENIED"]));
    });
  });
});

/** What the guide shows of how a receipt is verified. It uses nothing of Muin's. */
async function guideCode(): Promise<{
  readonly readReceipt: (receipt: string, keys: readonly object[]) => Record<string, unknown>;
}> {
  const guide = await Bun.file(join(import.meta.dir, "../../../../cmd/muin/ERASURE.md")).text();
  const [, code = ""] = /^```ts\n(.*?)^```/ms.exec(guide) ?? [];
  const module = new Bun.Transpiler({ loader: "ts" }).transformSync(code);
  return (await import(`data:text/javascript;base64,${Buffer.from(module).toString("base64")}`)) as never; // Typed by what is asked of it.
}

describe("a receipt", () => {
  test("is verified by whoever has the published keys, as the guide says, and tells what was done", async () => {
    const face = await faces.enrol();
    await erase(faces, face);
    const { receipt, erasureId } = await signed(faces, face);
    const { keys } = await faces.enrolments(anonymous).listReceiptKeys({});
    const { readReceipt } = await guideCode();
    const claims = readReceipt(receipt, keys);
    expect(claims).toMatchObject({
      erasure_id: erasureId,
      enrolment_id: face.enrolmentId,
      branch_ids: face.branchIds,
      steps: allSteps.map((step) => ({ step })),
    });
    expect(JSON.stringify(claims)).not.toContain(face.memberId);
    const [header, , signature] = receipt.split(".");
    const forged = Buffer.from(JSON.stringify({ ...claims, enrolment_id: "other" })).toString("base64url");
    expect(() => readReceipt(`${header}.${forged}.${signature}`, keys)).toThrow("the signature is wrong");
    expect(() => readReceipt(receipt, [])).toThrow("names no key");
  });
});

async function mutantOf(file: string, from: string, to: string): Promise<ServiceInfo> {
  const through = [join(import.meta.dir, "../definition.ts")];
  return (await importMutant<{ mlops: ServiceInfo }>(join(import.meta.dir, file), from, to, through)).mlops;
}

/**
 * Whether a receipt was given while a process at the doors knew of the face: one that has applied nothing of its erasure, or, with `hasApplied`, all but that its vectors
 * were removed.
 */
async function signsEarly(hasApplied: boolean, info?: ServiceInfo): Promise<boolean> {
  await using on = await startErasure(info === undefined ? {} : { info });
  const door = await on.door("cut off");
  const face = await on.enrol();
  await on.enrolments().eraseFace({ enrolmentId: face.enrolmentId });
  if (hasApplied) await door.apply();
  const dueTime = async (): Promise<string> => {
    const [row] = await on.database.sql<{ due: string }[]>`
      SELECT due_time::text AS due FROM face_erasures WHERE enrolment_id = ${face.enrolmentId}`;
    return row?.due ?? "";
  };
  return await on.withBackground(async () => {
    const wanted = hasApplied ? ["APPLIED", "PURGED"] : ["PURGED"];
    await eventually(async () => expect(kindsOf(await on.erasureOf(face))).toEqual(expect.arrayContaining(wanted)));
    const due = await dueTime();
    // It was taken up once more since, or needs to be no more.
    await eventually(async () => expect(await dueTime()).not.toBe(due));
    return (await on.erasureOf(face)).receipt !== "";
  });
}

describe("a process at the doors that is cut off", () => {
  test("is named until it has applied the erasure; what is stored goes meanwhile", async () => {
    await using on = await startErasure();
    const [near, far] = [await on.door("near"), await on.door("far")];
    const face = await on.enrol();
    const erasing = erase(on, face);
    await eventually(async () =>
      expect(await on.store.client.hexists(denyKey(face.branchIds[0] ?? ""), face.enrolmentId)).toBe(1),
    );
    await near.apply();
    const pending = await erasing;
    expect([pending.state, pending.pendingInstances]).toEqual([FaceErasureState.PENDING, ["far"]]);
    expect(await on.lookUp(face)).toBe("DENIED");
    await on.withBackground(async () => {
      await eventually(async () =>
        expect(kindsOf(await on.erasureOf(face))).toEqual(["RECORDED", "DENIED", "REMOVED", "PROBED", "PURGED"]),
      );
      const still = await on.erasureOf(face);
      expect([still.state, still.pendingInstances, still.receipt]).toEqual([FaceErasureState.PENDING, ["far"], ""]);
      for (const door of [near, far]) await door.apply();
      await eventually(async () => expect((await on.erasureOf(face)).receipt).not.toBe(""));
    });
  });

  test("holds the receipt back until it has been without the store for as long as it may decide without", async () => {
    await using on = await startErasure();
    const door = await on.door("gone", 60_000);
    const face = await on.enrol();
    expect((await erase(on, face)).state).toBe(FaceErasureState.PENDING);
    await on.withBackground(async () => {
      await eventually(async () => expect(kindsOf(await on.erasureOf(face))).toContain("PURGED"));
      await door.age(59_000);
      const pending = await on.erasureOf(face);
      expect([pending.pendingInstances, pending.receipt]).toEqual([["gone"], ""]);
      await door.age(62_000);
      await eventually(async () => {
        const { state, receipt } = await on.erasureOf(face);
        expect([state, receipt !== ""]).toEqual([FaceErasureState.DONE, true]);
      });
    });
  });

  test("is named where a face is replaced, until it has applied that", async () => {
    await using on = await startErasure();
    const [near, far] = [await on.door("near"), await on.door("far")];
    const face = await on.enrol();
    const { enrolmentId, embeddings } = face;
    const replace = () =>
      on.enrolments().replaceFace({ enrolmentId, embeddings: [...embeddings], requestId: "replaced" });
    for (const door of [near, far]) await door.apply();
    const replacing = replace();
    await eventually(async () => {
      await near.apply();
      expect((await on.store.client.hget(positionsKey, "near"))?.split(" ")[0]).not.toBe(
        (await on.store.client.hget(positionsKey, "far"))?.split(" ")[0],
      );
    });
    expect((await replacing).pendingInstances).toEqual(["far"]);
    await far.apply();
    expect((await replace()).pendingInstances).toEqual([]);
  });

  test("mutant: a receipt that does not wait for it is noticed", async () => {
    expect(await signsEarly(false)).toBe(false);
    const mutant = await mutantOf("applied.ts", "leftMs <= 0) return behind;", "leftMs <= 0) return [];");
    expect(await signsEarly(false, mutant)).toBe(true);
  });

  test("mutant: a receipt that does not wait until it has let go of its copy is noticed", async () => {
    expect(await signsEarly(true)).toBe(false);
    const mutant = await mutantOf(
      "saga.ts",
      'behind.length === 0 ? took(erasure, "SETTLED")',
      'true ? took(erasure, "SETTLED")',
    );
    expect(await signsEarly(true, mutant)).toBe(true);
  });
});

/** The changes that doors are told when a person is deleted, in their order. */
async function changesOfDeletion(info?: ServiceInfo): Promise<readonly string[]> {
  await using on = await startErasure(info === undefined ? {} : { info });
  const face = await on.enrol();
  await on.deliver(
    create(UserStatusChangedSchema, { userId: face.memberId, status: UserStatus.DELETED, aggregateVersion: 2n }),
  );
  await on.withBackground(() => eventually(async () => expect(await on.traces(face)).toEqual(["{face}:g:deny"])));
  const entries = await on.store.client.xrange(changesKey, "-", "+");
  return entries
    .map(([, fields]) => fields[fields.indexOf("kind") + 1] ?? "")
    .filter((kind) => ["deny", "remove"].includes(kind));
}

describe("a face", () => {
  test("is denied before it is removed, so that a write that was on its way brings nothing back", async () => {
    expect((await changesOfDeletion())[0]).toBe("deny");
  });

  test("mutant: one that is removed first is noticed", async () => {
    const mutant = await mutantOf(
      "saga.ts",
      "let now = await deny(erasure);",
      "let now = await deny(await remove(erasure, await deps.galleriesOf(erasure.branchIds)));",
    );
    expect((await changesOfDeletion(mutant))[0]).toBe("remove");
  });

  test("that comes back after it was removed is removed again before anything is signed", async () => {
    const face = await faces.enrol();
    const copies = await putsOf(face);
    const door = await faces.door("slow");
    await faces.enrolments().eraseFace({ enrolmentId: face.enrolmentId });
    await faces.withBackground(async () => {
      await eventually(async () => expect(kindsOf(await faces.erasureOf(face))).toContain("PURGED"));
      await copies();
      expect(await faces.lookUp(face)).toBe("DENIED");
      await eventually(async () => {
        await door.apply();
        expect((await faces.erasureOf(face)).receipt).not.toBe("");
      });
    });
    expect(await faces.traces(face)).toEqual(["{face}:g:deny"]);
    await faces.store.client.del("{face}:d:positions", "{face}:d:instances");
  });
});

/** A write of the face that is on its way: puts into the store what stands there now. */
async function putsOf(face: Enrolled): Promise<() => Promise<void>> {
  const { createFaceWriter } = await import("../../shared/face-writer-redis.ts");
  const { unpackChange } = await import("../../shared/change-stream.ts");
  const entries = await faces.store.client.xrangeBuffer(changesKey, "-", "+");
  const puts = entries
    .map(([, fields]) => unpackChange(fields))
    .filter((change) => change.kind === "put")
    .filter(({ enrolmentId }) => enrolmentId === face.enrolmentId);
  return async () => {
    await createFaceWriter(faces.store).put(face, puts);
  };
}

describe("deleting a person", () => {
  test("erases all their faces, and is confirmed when the last has its receipt", async () => {
    await using on = await startErasure();
    const door = await on.door("slow");
    const face = await on.enrol();
    const [held] = partsOf(on.parts, "personalData");
    const signal = new AbortController().signal;
    expect(await held?.exportOf(face.memberId, signal)).toMatchObject({ enrolments: [{ memberId: face.memberId }] });
    expect(JSON.stringify(await held?.exportOf(face.memberId, signal))).not.toContain(
      Buffer.from(face.embeddings[0] ?? []).toString("base64"),
    );
    const deleted = create(UserStatusChangedSchema, {
      userId: face.memberId,
      status: UserStatus.DELETED,
      aggregateVersion: 5n,
    });
    await on.deliver(deleted);
    expect(await held?.exportOf(face.memberId, signal)).toBeUndefined();
    const confirmations = async () => (await on.events()).filter((event) => isMessage(event, UserDataErasedSchema));
    await on.withBackground(async () => {
      await eventually(async () => expect(kindsOf(await on.erasureOf(face))).toContain("PURGED"));
      expect(await confirmations()).toEqual([]);
      await door.apply();
      await eventually(async () => expect(await confirmations()).toHaveLength(1));
    });
    expect(await confirmations()).toMatchObject([{ userId: face.memberId, service: "mlops", aggregateVersion: 5n }]);
    await on.deliver(deleted); // Whoever asks again is told again.
    expect(await confirmations()).toHaveLength(2);
  });

  test("who is not enrolled is confirmed at once", async () => {
    const userId = await faces.newMember();
    await faces.deliver(create(UserStatusChangedSchema, { userId, status: UserStatus.DELETED, aggregateVersion: 2n }));
    expect((await faces.events()).at(-1)).toMatchObject({ userId, service: "mlops" });
  });
});

describe("while the face Redis is away", () => {
  test("an erasure is taken on, and goes on when it is there again", async () => {
    await using on = await startErasure();
    const face = await on.enrol();
    await on.redis.kill("SIGKILL");
    const erasure = await erase(on, face);
    expect([erasure.state, kindsOf(erasure)]).toEqual([FaceErasureState.PENDING, ["RECORDED"]]);
    expect(erasure.pendingInstances).toEqual(["face-store"]);
    expect((await on.erasureOf(face)).pendingInstances).toEqual(["face-store"]);
    await on.redis.restart();
    const done = await signed(on, face);
    expect(done.erasureId).toBe(erasure.erasureId);
    await eventually(() => on.store.client.ping());
    expect(await on.traces(face)).toEqual(["{face}:g:deny"]);
  });
});
