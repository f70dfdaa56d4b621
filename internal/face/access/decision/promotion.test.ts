import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock, type Clock } from "../../../platform/clock/clock.ts";
import { startRedis, type TestRedis } from "../../../platform/testing/redis.ts";
import { readEmbedding } from "../../shared/embedding.ts";
import { secret } from "../../shared/face-fixture.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { createTemplates } from "../../shared/template.ts";
import { dimensions, modelId, reasonOf, seenAgain, startAccess, type AccessFixture } from "../access-fixture.ts";

setDefaultTimeout(30_000);

let aheadMs = 0;
const clock: Clock = { ...systemClock, now: () => systemClock.now() + aheadMs };
let redis: TestRedis;
let service: AccessFixture;
beforeAll(async () => {
  redis = await startRedis();
  service = await startAccess(redis.url, { clock, config: { attemptsPerMinuteMax: 100_000 } });
});
afterAll(async () => {
  await service[Symbol.asyncDispose]();
  await redis.stop();
});

/** A branch where one person is enrolled by two models, the one of the fixture being active; promotes either. */
async function newBranchOfTwoModels() {
  const writer = createFaceWriter(service.redis);
  const templates = createTemplates({ present: secret });
  const branchId = await service.newBranch();
  const member = await service.newMember(branchId);
  const model = { dimensions, mean: undefined, threshold: 0.5, margin: 0.05, duplicateThreshold: 0.8, revision: 1 };
  const newer = { branchId, modelId: "newer", generation: 1, keyId: templates.keyId };
  await writer.putModel({ ...model, modelId: newer.modelId });
  const read = readEmbedding(member.embedding, model);
  if (read.fault !== undefined) throw new Error("no embedding");
  const template = templates.turn(newer, read.unit)!;
  await writer.put({ memberId: member.id, enrolmentId: crypto.randomUUID() }, [
    { gallery: newer, templates: [template] },
  ]);
  const first = await writer.readActive(branchId);
  if (first === undefined) throw new Error("the branch has no gallery");
  const galleries = { [modelId]: { ...newer, modelId, generation: first.generation }, newer };
  const promote = async (wanted: typeof modelId | "newer"): Promise<void> => {
    const { revision = 0 } = (await writer.readActive(branchId)) ?? {};
    const { kind } = await writer.activate(galleries[wanted], revision);
    expect(kind).toBe("done");
  };
  const device = service.newDevice(branchId);
  const ask = (by: string) =>
    reasonOf(service.identify(device, { modelId: by, embedding: seenAgain(member.embedding) }));
  return { promote, ask };
}

test("a promotion and its roll back refuse no call, whichever of both models a device has", async () => {
  const { promote, ask } = await newBranchOfTwoModels();
  expect(await ask("newer")).toBe("MODEL_NOT_ACTIVE");
  const over = new AbortController();
  const walk = async (by: string): Promise<readonly string[]> => {
    const answers: string[] = [];
    while (!over.signal.aborted) answers.push(await ask(by));
    return answers;
  };
  await promote("newer");
  const walks = [walk("newer"), walk(modelId)];
  for (const wanted of [modelId, "newer", modelId, "newer", modelId] as const) {
    await promote(wanted);
    for (const by of [modelId, "newer"]) expect(await ask(by)).toBe("ADMITTED");
  }
  over.abort();
  const answers = await Promise.all(walks);
  for (const each of answers) {
    expect(each.length).toBeGreaterThan(0);
    expect(new Set(each)).toEqual(new Set(["ADMITTED"]));
  }
});

test("the former model decides for ten minutes", async () => {
  const { promote, ask } = await newBranchOfTwoModels();
  await promote("newer");
  aheadMs = 599_000;
  expect(await ask(modelId)).toBe("ADMITTED");
  aheadMs = 601_000;
  expect(await ask(modelId)).toBe("MODEL_NOT_ACTIVE");
  expect(await ask("newer")).toBe("ADMITTED");
});
