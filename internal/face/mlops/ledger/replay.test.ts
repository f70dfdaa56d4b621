import { cp, rm } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import { systemClock } from "../../../platform/clock/clock.ts";
import type { Logger } from "../../../platform/telemetry/logger.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { importMutant } from "../../../platform/testing/mutant.ts";
import type { TestRedis } from "../../../platform/testing/redis.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { readRunId } from "../../shared/fresh.ts";
import { denyKey, freshKey } from "../../shared/key-schema.ts";
import {
  operator,
  startErasure,
  startFaceRedis,
  type Enrolled,
  type ErasureFixture,
} from "../erasure/erasure-fixture.ts";
import { createErasableFaces } from "../erasure/faces-redis.ts";
import { postgresErasureStore } from "../erasure/store-postgres.ts";
import { allGalleries } from "../gallery/generations.ts";
import { postgresGalleryStore } from "../gallery/store-postgres.ts";
import { createLedgerReplay } from "./replay.ts";

setDefaultTimeout(60_000);

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

/** Copies the face Redis' file; what is returned puts it back, with the Redis that has it started anew. */
async function backUp(): Promise<() => Promise<void>> {
  const folder = join(redis.dir, "appendonlydir");
  const copy = join(redis.dir, "copy");
  await redis.kill("SIGKILL");
  await rm(copy, { recursive: true, force: true });
  await cp(folder, copy, { recursive: true });
  await redis.restart();
  await settled();
  return async () => {
    await redis.kill("SIGKILL");
    await rm(folder, { recursive: true });
    await cp(copy, folder, { recursive: true });
    await redis.restart();
    await eventually(() => faces.store.client.ping());
  };
}

/** Waits until the ledger is replayed to the Redis that runs now. */
const settled = (): Promise<void> =>
  faces.withBackground(() =>
    eventually(async () => expect(await faces.store.client.get(freshKey)).toBe(await readRunId(faces.store))),
  );

/** Erases a face and waits for its receipt. */
async function erase(face: Enrolled): Promise<void> {
  await faces.enrolments().eraseFace({ enrolmentId: face.enrolmentId });
  await faces.withBackground(() => eventually(async () => expect((await faces.erasureOf(face)).receipt).not.toBe("")));
}

const silent: Logger = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {}, child: () => silent };

/** Replays with `create`; returns whether the store was called fresh before the whole ledger had been looked at. */
async function isFreshEarly(create: typeof createLedgerReplay): Promise<boolean> {
  const { store, database } = faces;
  await store.client.del(freshKey);
  const runId = await readRunId(store);
  let early = false;
  const look = async (): Promise<void> => {
    if ((await store.client.get(freshKey)) === runId) early = true;
  };
  const replay = create({
    database,
    erasures: {
      ...postgresErasureStore,
      denials: async (...asked) => {
        await look();
        return postgresErasureStore.denials(...asked);
      },
      recorded: async (...asked) => {
        await look();
        return postgresErasureStore.recorded(...asked);
      },
    },
    store,
    faces: createErasableFaces({ store, writer: createFaceWriter(store) }),
    allGalleries: () => allGalleries({ database, galleries: postgresGalleryStore }),
    beforeFresh: look,
    denialKeptMs: 1000,
    clock: systemClock,
    log: silent,
  });
  await replay.makeFresh(new AbortController().signal);
  expect(await store.client.get(freshKey)).toBe(runId);
  return early;
}

describe("a face Redis that is started from an old file", () => {
  test("opens no door until the ledger is replayed, and then none for who was erased since", async () => {
    const [erased, other] = [await faces.enrol(), await faces.enrol()];
    const putBack = await backUp();
    await erase(erased);
    // Its denial is forgotten: what brings it back must be found by the face itself.
    await faces.database.sql`UPDATE face_erasures SET due_time = NULL WHERE enrolment_id = ${erased.enrolmentId}`;
    await putBack();
    expect(await faces.traces(erased)).not.toEqual(["{face}:g:deny"]);
    for (const face of [erased, other]) expect(await faces.lookUp(face)).toBe("not_fresh");
    await settled();
    expect([await faces.lookUp(erased), await faces.lookUp(other)]).toEqual(["DENIED", "GRANTED"]);
    expect(await faces.traces(erased)).toEqual(["{face}:g:deny"]);
  });

  test("denies again who was being erased, and is told anew by which models doors decide", async () => {
    const face = await faces.enrol();
    const [branchId = ""] = face.branchIds;
    const putBack = await backUp();
    await faces.enrolments().eraseFace({ enrolmentId: face.enrolmentId });
    const newer = await faces.enrol();
    await putBack();
    expect(await faces.lookUp(newer)).toBe("no gallery");
    await settled();
    expect(await faces.store.client.hexists(denyKey(branchId), face.enrolmentId)).toBe(1);
    expect(await faces.lookUp(face)).toBe("DENIED");
    expect(await faces.lookUp(newer)).toBe("DENIED"); // Its face is lost with the newer file, but not by what doors decide.
  });

  test("opens no door for a face that was replaced since, and a check names whose faces are lost with the newer file", async () => {
    const branchIds = [await faces.newBranch()];
    const [replaced, other] = [await faces.enrol({ branchIds }), await faces.enrol({ branchIds })];
    const { enrolmentId } = replaced;
    const after = { ...replaced, embeddings: (await faces.newFace(branchIds)).embeddings };
    const putBack = await backUp();
    await faces.enrolments().replaceFace({ enrolmentId, embeddings: [...after.embeddings] });
    expect([await faces.lookUp(replaced), await faces.lookUp(after)]).toEqual(["DENIED", "GRANTED"]);
    await putBack();
    await settled();
    expect([await faces.lookUp(replaced), await faces.lookUp(other)]).toEqual(["DENIED", "GRANTED"]);
    const { checks } = await faces.as(FaceModelService, operator).checkFaces({ branchId: branchIds[0] ?? "" });
    expect(checks[0]).toMatchObject({ enrolmentsChecked: 2n, lostEnrolmentIds: [enrolmentId] });
    // Nobody is denied: the new face, given again, opens the door.
    await faces.enrolments().replaceFace({ enrolmentId, embeddings: [...after.embeddings] });
    expect([await faces.lookUp(replaced), await faces.lookUp(after)]).toEqual(["DENIED", "GRANTED"]);
  });

  test("is called fresh after the last entry, not before", async () => {
    await erase(await faces.enrol());
    expect(await isFreshEarly(createLedgerReplay)).toBe(false);
  });

  test("mutant: one that is called fresh first is noticed", async () => {
    await erase(await faces.enrol());
    const mutant = await importMutant<{ createLedgerReplay: typeof createLedgerReplay }>(
      join(import.meta.dir, "replay.ts"),
      "await replayDenials(deps, signal);",
      "await markFresh(store, runId); await replayDenials(deps, signal);",
    );
    expect(await isFreshEarly(mutant.createLedgerReplay)).toBe(true);
  });
});

test("a face Redis that goes on is not replayed to again", async () => {
  await settled();
  const { store, database } = faces;
  let asked = 0;
  const replay = createLedgerReplay({
    database,
    erasures: {
      ...postgresErasureStore,
      denials: () => {
        asked += 1;
        return Promise.resolve([]);
      },
    },
    store,
    faces: createErasableFaces({ store, writer: createFaceWriter(store) }),
    allGalleries: () => allGalleries({ database, galleries: postgresGalleryStore }),
    beforeFresh: () => Promise.resolve(),
    denialKeptMs: 1000,
    clock: systemClock,
    log: silent,
  });
  await replay.makeFresh(new AbortController().signal);
  expect(asked).toBe(0);
});
