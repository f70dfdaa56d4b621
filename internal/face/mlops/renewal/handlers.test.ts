import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { FaceModelService } from "../../../gen/muin/face/v1/face_model_service_pb.ts";
import { Secret } from "../../../platform/config/fields.ts";
import type { ServiceInfo } from "../../../platform/service/define-service.ts";
import { eventually } from "../../../platform/testing/eventually.ts";
import { caught, importMutant } from "../../../platform/testing/mutant.ts";
import { startService } from "../../../platform/testing/service.ts";
import { floatsOf, readEmbedding } from "../../shared/embedding.ts";
import { cosineOf, secret } from "../../shared/face-fixture.ts";
import { createFaceWriter } from "../../shared/face-writer-redis.ts";
import { elementName, galleryKeys } from "../../shared/key-schema.ts";
import { createTemplates } from "../../shared/template.ts";
import { mlops } from "../definition.ts";
import { operator, startErasure, type Enrolled, type ErasureFixture } from "../erasure/erasure-fixture.ts";
import { outcomeOf } from "../mlops-fixture.ts";

setDefaultTimeout(60_000);

/** mlops with the rule `from` of renewals replaced. */
async function altered(from: string, to: string): Promise<ServiceInfo> {
  const through = [join(import.meta.dir, "../definition.ts")];
  return (await importMutant<{ mlops: ServiceInfo }>(join(import.meta.dir, "rules.ts"), from, to, through)).mlops;
}

/** The same, but that a call turns ten enrolments, and not a thousand. */
const inSmallParts = (): Promise<ServiceInfo> => altered("const pageEnrolments = 100;", "const pageEnrolments = 1;");

/** The constants of renewals: how many are turned at a time, and how far back it is looked for what was written meanwhile. */
const constants = {
  pages: "const pageEnrolments = 100;\n/** Pages of one call. */\nconst callPages = 10;\n",
  skew:
    "/** By how much the clocks of instances may differ that note when faces were written, in milliseconds. */\n" +
    "const clockSkewMsMax = 60_000;",
};

let faces: ErasureFixture;
beforeAll(async () => {
  faces = await startErasure({ info: await inSmallParts() });
});
afterAll(() => faces[Symbol.asyncDispose]());

const renew = (on: ErasureFixture, branchId: string, generation: number, pageToken = "") =>
  on.as(FaceModelService, operator).renewTemplates({ branchId, modelId: "arc", generation, pageToken });

/** What a door does, that looks again when the gallery was exchanged. */
const open = (on: ErasureFixture, face: Enrolled): Promise<string> =>
  eventually(async () => {
    const outcome = await on.lookUp(face);
    expect(outcome).not.toBe("gallery_changed");
    return outcome;
  });

async function differences(on: ErasureFixture, branchId: string): Promise<number> {
  let found = 0;
  for (let pageToken = "", isFirst = true; isFirst || pageToken !== ""; isFirst = false) {
    const reply = await on.as(FaceModelService, operator).checkFaces({ branchId, pageToken });
    pageToken = reply.nextPageToken;
    for (const each of reply.checks) {
      found += Number(each.enrolmentsRepaired + each.enrolmentsLost + each.erasedRemoved + each.unknownRemoved);
    }
  }
  return found;
}

/** Renews a gallery of twelve whose faces are written and erased meanwhile; gives what doors do in the end, and what a check finds. */
async function renewUnderWrites(on: ErasureFixture): Promise<readonly unknown[]> {
  const branchIds = [await on.newBranch()];
  const [branchId = ""] = branchIds;
  const people: Enrolled[] = [];
  for (let person = 0; person < 12; person += 1) people.push(await on.enrol({ branchIds }));
  const sorted = people.toSorted((one, other) => (one.enrolmentId < other.enrolmentId ? -1 : 1));
  const [replaced, erased, added, ...others] = sorted as [Enrolled, Enrolled, Enrolled, ...Enrolled[]];
  const first = await renew(on, branchId, 1);
  expect([first.gallery?.generation, first.nextPageToken === ""]).toEqual([1, false]);

  // They are turned already.
  const { embeddings } = await on.newFace(branchIds);
  await on.enrolments().replaceFace({ enrolmentId: replaced.enrolmentId, embeddings: [...embeddings] });
  await on.enrolments().eraseFace({ enrolmentId: erased.enrolmentId });
  const more = await on.newFace(branchIds);
  const [embedding = new Uint8Array()] = more.embeddings;
  await on.enrolments().addEmbedding({ enrolmentId: added.enrolmentId, embedding });
  const late = await on.enrol({ branchIds });

  const last = await renew(on, branchId, 1, first.nextPageToken);
  expect([last.gallery?.generation, last.nextPageToken]).toEqual([2, ""]);
  await on.withBackground(() => eventually(async () => expect((await on.erasureOf(erased)).receipt).not.toBe("")));
  const outcomes = [
    await open(on, replaced),
    await open(on, { ...replaced, embeddings }),
    await open(on, erased),
    await open(on, { ...added, embeddings: more.embeddings }),
    await open(on, late),
  ];
  for (const other of others) expect(await open(on, other)).toBe("GRANTED");
  const old = galleryKeys({ branchId, modelId: "arc", generation: 1 });
  const left = await on.store.client.exists(old.set, old.copy, old.names, old.error);
  return [...outcomes, await differences(on, branchId), await on.traces(erased), left];
}

const renewedWell = ["DENIED", "GRANTED", "DENIED", "GRANTED", "GRANTED", 0, ["{face}:g:deny"], 0];

describe("a renewal of templates", () => {
  test("keeps every decision, whatever is written and erased meanwhile, and leaves nothing of the old ones", async () => {
    expect(await renewUnderWrites(faces)).toEqual(renewedWell);
  });

  test("mutant: one that forgets what was written meanwhile is noticed", async () => {
    const { pages, skew } = constants;
    const forgetful = skew.replace("60_000", "-3_600_000");
    await using on = await startErasure({
      info: await altered(`${pages}${skew}`, `${pages.replace("100", "1")}${forgetful}`),
    });
    await caught(async () => expect(await renewUnderWrites(on)).toEqual(renewedWell));
  });

  test("answers look-ups all the while", async () => {
    const face = await faces.enrol();
    const [branchId = ""] = face.branchIds;
    const over = new AbortController();
    const looking = (async () => {
      const told = new Set<string>();
      while (!over.signal.aborted) told.add(await open(faces, face));
      return told;
    })();
    for (let generation = 1; generation <= 3; generation += 1) await renew(faces, branchId, generation);
    over.abort();
    expect(await looking).toEqual(new Set(["GRANTED"]));
  });

  test("is done once, however often it is asked for; another generation is refused", async () => {
    const face = await faces.enrol();
    const [branchId = ""] = face.branchIds;
    const replies = await Promise.all([renew(faces, branchId, 1), renew(faces, branchId, 1)]);
    expect(replies.map(({ gallery }) => gallery?.generation)).toEqual([2, 2]);
    expect((await renew(faces, branchId, 1)).gallery?.generation).toBe(2);
    expect(await outcomeOf(renew(faces, branchId, 4))).toBe("Aborted GALLERY_RENEWED");
    expect(await outcomeOf(renew(faces, "nowhere", 1))).toBe("NotFound GALLERY_NOT_FOUND");
    expect(await open(faces, face)).toBe("GRANTED");
  });

  test("turns them by the present secret, where they were turned by the former", async () => {
    const face = await faces.enrol();
    const [branchId = ""] = face.branchIds;
    const present = new Secret("another secret of the tests that is long enough");
    await using service = await startService(mlops, {
      config: { templateSecret: present, formerTemplateSecret: secret },
      storeUrls: { faces: faces.redis.url, doors: faces.redis.url },
      url: faces.url,
    });
    await eventually(() => service.as(FaceModelService, operator).listFaceModels({ branchId }));
    await eventually(() =>
      service.as(FaceModelService, operator).renewTemplates({ branchId, modelId: "arc", generation: 1 }),
    );
    const gallery = await createFaceWriter(faces.store).readActive(branchId);
    const templates = createTemplates({ present });
    expect([gallery?.generation, gallery?.keyId]).toEqual([2, templates.keyId]);
    const name = elementName({ ...face, index: 0 });
    const copy = await faces.store.client.hgetBuffer(galleryKeys(gallery!).copy, name);
    const read = readEmbedding(face.embeddings[0] ?? new Uint8Array(), { dimensions: 64, mean: undefined });
    const wanted = read.unit && templates.turn(gallery!, read.unit);
    expect(1 - cosineOf(floatsOf(copy ?? Buffer.alloc(0)), wanted ?? [])).toBeLessThan(1e-6);
  });
});
