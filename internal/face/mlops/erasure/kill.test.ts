import { isMessage } from "@bufbuild/protobuf";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { FaceVectorErasedSchema } from "../../../gen/muin/face/v1/enrolment_events_pb.ts";
import { changesKey, denyKey } from "../../shared/key-schema.ts";
import { startErasure, type Enrolled, type ErasureFixture } from "./erasure-fixture.ts";

setDefaultTimeout(60_000);

const childFile = Bun.fileURLToPath(new URL("kill-child.ts", import.meta.url));

let faces: ErasureFixture;
beforeAll(async () => {
  faces = await startErasure();
});
afterAll(() => faces[Symbol.asyncDispose]());

/** Runs a process that erases a face, until it prints a line; kills it there. */
async function runUntil(line: string, face: Enrolled, step: string): Promise<void> {
  const child = Bun.spawn([process.execPath, childFile, faces.url, faces.redis.url, face.enrolmentId, step], {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let text = "";
  for await (const chunk of child.stdout) {
    text += Buffer.from(chunk).toString();
    if (text.includes(`${line}\n`)) break;
  }
  child.kill("SIGKILL");
  await child.exited;
  expect(text).toBe(`${line}\n`);
}

/** What is there of an erasure: the enrolment, the steps, whether doors deny it and open for it, and how often it was told. */
async function factsOf(face: Enrolled): Promise<readonly unknown[]> {
  const { sql } = faces.database;
  const enrolments = await sql`SELECT FROM enrolments WHERE enrolment_id = ${face.enrolmentId}`;
  const [row] = await sql<{ steps: number }[]>`
    SELECT count(*)::int AS steps FROM face_erasure_steps JOIN face_erasures USING (erasure_id)
    WHERE enrolment_id = ${face.enrolmentId}`;
  const isDenied = await faces.store.client.hexists(denyKey(face.branchIds[0] ?? ""), face.enrolmentId);
  const told = (await faces.events()).filter(
    (event) => isMessage(event, FaceVectorErasedSchema) && event.enrolmentId === face.enrolmentId,
  );
  return [
    enrolments.count > 0 ? "enrolled" : "erased",
    row?.steps,
    isDenied === 1 ? "denied" : "not denied",
    await faces.lookUp(face),
    (await faces.traces(face)).length,
    told.length,
  ];
}

describe("an erasure whose process is killed", () => {
  // Traces: changes, copy, names, set; the deny-list.
  test.each<[step: string, facts: readonly unknown[]]>([
    ["within RECORDED", ["enrolled", 0, "not denied", "GRANTED", 4, 0]],
    ["before DENIED", ["erased", 1, "denied", "DENIED", 5, 0]],
    ["after DENIED", ["erased", 2, "denied", "DENIED", 5, 0]],
    ["before APPLIED", ["erased", 2, "denied", "DENIED", 5, 0]],
    ["after APPLIED", ["erased", 3, "denied", "DENIED", 5, 0]],
    ["before remove", ["erased", 3, "denied", "DENIED", 5, 0]],
    ["after remove", ["erased", 3, "denied", "DENIED", 2, 0]],
    ["after REMOVED", ["erased", 4, "denied", "DENIED", 2, 0]],
    ["before PROBED", ["erased", 4, "denied", "DENIED", 2, 0]],
    ["after PROBED", ["erased", 5, "denied", "DENIED", 2, 0]],
    ["before scrub", ["erased", 5, "denied", "DENIED", 2, 0]],
    ["before PURGED", ["erased", 5, "denied", "DENIED", 1, 0]],
    ["after PURGED", ["erased", 6, "denied", "DENIED", 1, 0]],
    ["after SETTLED", ["erased", 7, "denied", "DENIED", 1, 0]],
    ["within SIGNED", ["erased", 7, "denied", "DENIED", 1, 0]],
    ["after SIGNED", ["erased", 8, "denied", "DENIED", 1, 1]],
  ])("at %p has left a state from which it is finished", async (step, facts) => {
    const face = await faces.enrol();
    await runUntil(step, face, step);
    expect(await factsOf(face)).toEqual(facts);
    await runUntil("done", face, "");
    expect(await factsOf(face)).toEqual(["erased", 8, "denied", "DENIED", 1, 1]);
    const { steps } = await faces.erasureOf(face);
    // Its templates were at hand for the probe wherever it was killed: the changes told them until they were purged.
    expect(steps.some(({ detail }) => detail.startsWith("searched for 1 of its own templates"))).toBe(true);
  });

  test("with the changes trimmed meanwhile says that nothing was left to search with", async () => {
    const face = await faces.enrol();
    await runUntil("after REMOVED", face, "after REMOVED");
    await faces.store.client.xtrim(changesKey, "MAXLEN", 0);
    await runUntil("done", face, "");
    const { steps } = await faces.erasureOf(face);
    expect(steps.map(({ detail }) => detail).filter((detail) => detail !== "")).toEqual([
      "nothing of it was left to search with",
    ]);
    expect(await faces.traces(face)).toEqual(["{face}:g:deny"]);
  });
});
