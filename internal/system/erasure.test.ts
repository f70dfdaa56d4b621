import { create } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { startAccess, reasonOf, seenAgain, type AccessFixture, type Device } from "../face/access/access-fixture.ts";
import {
  startErasure,
  startFaceRedis,
  type Enrolled,
  type ErasureFixture,
} from "../face/mlops/erasure/erasure-fixture.ts";
import { instancesKey } from "../face/shared/instances.ts";
import { FaceErasureState, type FaceErasure } from "../gen/muin/face/v1/face_erasure_pb.ts";
import { UserUpdatedSchema } from "../gen/muin/identity/v1/user_events_pb.ts";
import { createMetrics } from "../platform/telemetry/create-metrics.ts";
import { eventually } from "../platform/testing/eventually.ts";
import { startLossyProxy, type LossyProxy } from "../platform/testing/lossy-proxy.ts";
import type { TestRedis } from "../platform/testing/redis.ts";

setDefaultTimeout(60_000);

/** For how long a process may decide without the face store. */
const snapshotAgeMsMax = 4000;

/** A process at the doors, of which mlops knows the name. */
interface Door {
  readonly access: AccessFixture;
  readonly instanceId: string;
  /** Whether it has a copy of so many branches' faces. */
  hasCopies(branches: number): Promise<boolean>;
}

let redis: TestRedis;
let proxy: LossyProxy;
let faces: ErasureFixture;
let near: Door;
let far: Door;
beforeAll(async () => {
  redis = await startFaceRedis();
  proxy = startLossyProxy(redis.port);
  faces = await startErasure({ redis });
  near = await startDoor(redis.url);
  far = await startDoor(redis.url.replace(`:${redis.port}`, `:${proxy.port}`));
});
afterAll(async () => {
  proxy.cut(false);
  await far.access[Symbol.asyncDispose]();
  await near.access[Symbol.asyncDispose]();
  await faces[Symbol.asyncDispose]();
  proxy[Symbol.dispose]();
  await redis.stop();
});

async function startDoor(url: string): Promise<Door> {
  const metrics = createMetrics();
  const before = await faces.store.client.hkeys(instancesKey);
  const config = { snapshotAgeMsMax, attemptsPerMinuteMax: 100_000, denialsMax: 10_000 };
  const access = await startAccess(url, { metrics, config });
  const [instanceId = ""] = await eventually(async () => {
    const added = (await faces.store.client.hkeys(instancesKey)).filter((id) => !before.includes(id));
    expect(added).toHaveLength(1);
    return added;
  });
  const hasCopies = async (branches: number): Promise<boolean> =>
    (await metrics.render()).includes(`\nmuin_access_snapshot_branches ${branches}\n`);
  return { access, instanceId, hasCopies };
}

let branches = 0;
/** Somebody whose face opens the door of a branch of their own, which both processes have copies of; and a device there. */
async function newFace(): Promise<{ readonly face: Enrolled; readonly device: Device }> {
  const face = await faces.enrol();
  const [branchId = ""] = face.branchIds;
  branches += 1;
  for (const { access } of [near, far]) {
    await access.changeBranch(branchId, {});
    const membership = { plan: "standard" };
    await access.deliver(create(UserUpdatedSchema, { userId: face.memberId, membership, aggregateVersion: 1n }));
  }
  const device = near.access.newDevice(branchId);
  for (const door of [near, far]) {
    expect(await lookUp(door, device, face)).toBe("ADMITTED");
    await eventually(async () => expect(await door.hasCopies(branches)).toBe(true));
  }
  return { face, device };
}

/** What a device at the branch is told for a photograph of somebody. */
function lookUp({ access }: Door, device: Device, { branchIds, embeddings }: Enrolled): Promise<string> {
  const embedding = seenAgain(embeddings[0] ?? new Uint8Array());
  return reasonOf(access.identify(device, { branchId: branchIds[0] ?? "", modelId: "arc", embedding }));
}

async function erase({ enrolmentId }: Enrolled): Promise<FaceErasure> {
  const { erasure } = await faces.enrolments().eraseFace({ enrolmentId });
  if (erasure === undefined) throw new Error("an erasure is in its reply");
  return erasure;
}

/** Looks up without pause at both processes, until `work` is done and a little longer; tells what look-ups were told that began after it. */
async function lookUpsAfter(
  { face, device }: { readonly face: Enrolled; readonly device: Device },
  work: () => Promise<unknown>,
): Promise<ReadonlySet<string>> {
  const late = new Set<string>();
  const done = new AbortController();
  const lookers = [near, far, near, far].map(async (door) => {
    for (let left = 25; left > 0;) {
      const isLate = done.signal.aborted;
      const told = await lookUp(door, device, face);
      if (!isLate) continue;
      late.add(told);
      left -= 1;
    }
  });
  await work();
  done.abort();
  await Promise.all(lookers);
  return late;
}

describe("an erasure, with processes at the doors", () => {
  test("is done within moments, and no look-up that begins after the reply opens a door", async () => {
    const known = await newFace();
    const late = await lookUpsAfter(known, async () => {
      expect(await erase(known.face)).toMatchObject({ state: FaceErasureState.DONE, pendingInstances: [] });
    });
    expect(late).toEqual(new Set(["NO_MATCH"]));
  });

  test("replaces a face so that no look-up that begins after the reply opens for the former one", async () => {
    const known = await newFace();
    const { enrolmentId } = known.face;
    const other = await faces.newFace([]);
    const late = await lookUpsAfter(known, async () => {
      const { pendingInstances } = await faces
        .enrolments()
        .replaceFace({ enrolmentId, embeddings: [...other.embeddings] });
      expect(pendingInstances).toEqual([]);
    });
    expect(late).toEqual(new Set(["NO_MATCH"]));
    expect(await lookUp(far, known.device, { ...known.face, embeddings: other.embeddings })).toBe("ADMITTED");
  });

  test("names the process that is cut off, which may open for its time; the receipt waits for that", async () => {
    const known = await newFace();
    const { face, device } = known;
    proxy.cut(true);
    const cutAtMs = performance.now();
    const pending = await erase(face);
    expect(pending).toMatchObject({ state: FaceErasureState.PENDING, pendingInstances: [far.instanceId] });
    expect(await lookUp(near, device, face)).toBe("NO_MATCH");
    expect(await lookUp(far, device, face)).toBe("ADMITTED"); // It cannot know.
    await faces.withBackground(async () => {
      const done = await eventually(
        async () => {
          const erasure = await faces.erasureOf(face);
          expect(erasure.receipt).not.toBe("");
          return erasure;
        },
        { timeoutMs: 20_000 },
      );
      expect([done.state, performance.now() - cutAtMs > snapshotAgeMsMax - 500]).toEqual([FaceErasureState.DONE, true]);
      expect(await lookUp(far, device, face)).toBe("FACE_STORE_UNAVAILABLE");
    });
    proxy.cut(false);
    await eventually(async () => expect(await lookUp(far, device, face)).toBe("NO_MATCH"));
  });
});
