import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { seededFractions } from "../../shared/face-fixture.ts";
import { readRunId } from "../../shared/fresh.ts";
import { freshKey } from "../../shared/key-schema.ts";
import { operator, startErasure, type Enrolled, type ErasureFixture } from "../erasure/erasure-fixture.ts";

setDefaultTimeout(120_000);

let faces: ErasureFixture;
beforeAll(async () => {
  faces = await startErasure();
});
afterAll(() => faces[Symbol.asyncDispose]());

/** How often the face Redis is killed. */
const kills = 4;
/** How many people come, change their faces and go at the same time. */
const callersAtOnce = 4;

test("a face Redis that is killed under enrolments, replacements and erasures leaves nothing that a check finds", async () => {
  const seed = Number(process.env["SEED"] ?? Date.now() % 2 ** 31);
  console.log(`SEED=${seed}`);
  const fraction = seededFractions(seed);
  const branchIds = [await faces.newBranch(), await faces.newBranch()];
  const everybody: Enrolled[] = [];
  const over = new AbortController();

  const live = async (): Promise<void> => {
    while (!over.signal.aborted) {
      const face = await faces.newFace(branchIds);
      everybody.push(face);
      await faces.enrol(face).then(
        (enrolled) => Object.assign(face, enrolled),
        () => undefined, // What becomes of it is seen in the end.
      );
      const { enrolmentId } = face;
      const [embedding = new Uint8Array()] = face.embeddings;
      const change = fraction();
      if (change < 0.3) await settle(faces.enrolments().addEmbedding({ enrolmentId, embedding }));
      else if (change < 0.6) await settle(faces.enrolments().replaceFace({ enrolmentId, embeddings: [embedding] }));
      if (fraction() < 0.5) await settle(faces.enrolments().eraseFace({ enrolmentId }));
    }
  };

  await faces.withBackground(async () => {
    const lives = Array.from({ length: callersAtOnce }, live);
    for (let kill = 0; kill < kills; kill += 1) {
      const until = everybody.length + 3 + Math.floor(fraction() * 12);
      await eventually(() => expect(everybody.length).toBeGreaterThanOrEqual(until), { timeoutMs: 60_000 });
      await faces.redis.kill("SIGKILL");
      await faces.redis.restart();
    }
    over.abort();
    await Promise.all(lives);
    await eventually(
      async () => {
        const [left] = await faces.database.sql<{ count: number }[]>`
          SELECT (SELECT count(*) FROM face_changes) + (SELECT count(*) FROM face_erasures WHERE receipt = '') AS count`;
        expect(Number(left?.count)).toBe(0);
        expect(await faces.store.client.get(freshKey)).toBe(await readRunId(faces.store));
      },
      { timeoutMs: 30_000 },
    );
  });

  const found: string[] = [];
  for (let pageToken = "", isFirst = true; isFirst || pageToken !== ""; isFirst = false) {
    const reply = await faces.as(FaceModelService, operator).checkFaces({ pageToken });
    pageToken = reply.nextPageToken;
    for (const { enrolmentsRepaired, enrolmentsLost, erasedRemoved, unknownRemoved, changesRepaired } of reply.checks) {
      found.push(`${enrolmentsRepaired} ${enrolmentsLost} ${erasedRemoved} ${unknownRemoved} ${changesRepaired}`);
    }
  }
  expect(new Set(found)).toEqual(new Set(["0 0 0 0 0"]));
  for (const face of everybody) {
    const { enrolments } = await faces.enrolments().listEnrolments({ memberId: face.memberId });
    const expected = enrolments.length > 0 ? "GRANTED" : "DENIED";
    for (const branchId of branchIds) {
      expect(`${face.memberId} ${await faces.lookUp(face, branchId)}`).toBe(`${face.memberId} ${expected}`);
    }
  }
  expect(everybody.length).toBeGreaterThan(kills * 3);
});

/** Whatever it brings: stores come and go. */
async function settle(call: Promise<unknown>): Promise<void> {
  await call.catch(() => undefined);
}
