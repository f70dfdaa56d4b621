import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { create, fromBinary, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { GalleryState } from "../../../../internal/gen/muin/face/v1/face_model_pb.ts";
import {
  ListFaceModelsResponseSchema,
  RenewTemplatesRequestSchema,
  RenewTemplatesResponseSchema,
} from "../../../../internal/gen/muin/face/v1/face_model_service_pb.ts";
import {
  createMuinFolder,
  startMuin,
  type MuinFolder,
  type TestMuin,
} from "../../../../internal/platform/testing/muin.ts";
import { eventually } from "../../../../internal/platform/testing/eventually.ts";
import { createSyntheticFaces } from "../../../../internal/shared/faces/synthetic-faces.ts";
import { newBranch } from "../../../../internal/system/device-fixture.ts";
import { bytesOfValues } from "../../faces/embedding.ts";

// Commands start real processes, and machines are busy; a hang still ends.
setDefaultTimeout(180_000);

const people = 24;
const dimensions = 64;
const faces = createSyntheticFaces({ seed: 3, dimensions });
const model = { model_id: "small", dimensions, threshold: 0.5, margin: 0.05, duplicate_threshold: 0.65 };

let folder: MuinFolder;
let muin: TestMuin;
let branchId: string;
/** Ids of people who have signed up. */
let memberIds: readonly string[];
beforeAll(async () => {
  folder = await createMuinFolder();
  muin = await startMuin({ folder });
  const signUp = async (index: number): Promise<string> => {
    const account = { email: `person-${index}@example.com`, password: "a long enough secret" };
    return (await muin.signUp(account)).userId;
  };
  memberIds = await Promise.all(Array.from({ length: people }, (_, index) => signUp(index)));
  branchId = await newBranch(muin, memberIds[0] ?? "");
  await written("model.json", model);
  await json("models", "register", path("model.json"));
  await written("other.json", { ...model, model_id: "other" });
  await json("models", "register", path("other.json"));
});
afterAll(async () => {
  await muin[Symbol.asyncDispose]();
  await folder[Symbol.asyncDispose]();
});

const path = (name: string): string => join(folder.path, name);

async function written(name: string, content: unknown): Promise<string> {
  await Bun.write(path(name), typeof content === "string" ? content : JSON.stringify(content));
  return path(name);
}

type Json = Record<string, unknown>;

/** The result of a command that must succeed. */
async function json(...args: readonly string[]): Promise<Json> {
  const { code, stdout, stderr } = await muin.run("faces", ...args, "--json");
  if (code !== 0) throw new Error(`muin faces ${args.join(" ")} exited with ${code}: ${stderr}`);
  return JSON.parse(stdout) as Json;
}

const embedding = (person: number, photograph: number): string =>
  Buffer.from(bytesOfValues(faces.photographOf(person, photograph))).toString("base64");

const consent = ["--consent-version", "2026-11", "--consent-time", "2026-11-01"] as const;

test("a face is enrolled, shown, listed and replaced, and no embedding is ever shown", async () => {
  const file = await written("ada.json", { model_id: "small", embedding: embedding(0, 0) });
  const [email, memberId = ""] = ["person-0@example.com", memberIds[0]];
  // The branch is known to mlops by an event.
  const enrol = () => json("enrol", email, "--branch", branchId, "--face", file, ...consent);
  const enrolled = await eventually(enrol);
  expect(enrolled).toMatchObject({
    member_id: memberId,
    branch_ids: [branchId],
    model_id: "small",
    embedding_count: 1,
    consent: { text_version: "2026-11", time: "2026-11-01T00:00:00Z" },
  });
  const again = await muin.run("faces", "enrol", email, "--branch", branchId, "--face", file, ...consent);
  expect([again.code, again.stderr]).toEqual([
    6,
    expect.stringContaining("is enrolled by this model already") as string,
  ]);
  const id = String(enrolled["enrolment_id"]);
  const plain = await written("ada.b64", `${embedding(0, 1)}\n`);
  expect(await json("replace", id, "--face", file, "--face", plain)).toMatchObject({ embedding_count: 2 });
  const shown = await muin.run("faces", "get", id);
  expect(shown.stdout).toMatch(new RegExp(`^person +${memberId}$`, "m"));
  expect(shown.stdout).toContain("2026-11 at 2026-11-01");
  const listed = await muin.run("faces", "list", "--user", email);
  expect(listed.stdout).toMatch(new RegExp(`^${id} +${memberId} +small +2 `, "m"));
  const galleries = await muin.rows("faces", "models", "list", "--branch", branchId);
  expect(galleries).toContainEqual(
    expect.objectContaining({
      model_id: "small",
      gallery: expect.objectContaining({ state: "GALLERY_STATE_ACTIVE", face_count: 2 }) as Json,
    }),
  );
  const everything = [shown, listed, again].map(({ stdout, stderr }) => stdout + stderr).join("\n");
  expect(everything + JSON.stringify([enrolled, galleries])).not.toContain(embedding(0, 0).slice(0, 20));
});

test("a face of another person is refused without naming them, unless somebody says otherwise", async () => {
  const file = await written("twin.b64", embedding(0, 2));
  const enrol = ["enrol", "person-1@example.com", "--branch", branchId, "--model", "small", "--face", file, ...consent];
  const refused = await muin.run("faces", ...enrol);
  expect(refused.code).toBe(6);
  expect(refused.stderr).toContain("another person's already");
  expect(refused.stderr).not.toContain(memberIds[0] ?? "");
  expect(await json(...enrol, "--override-duplicate")).toMatchObject({ member_id: memberIds[1] });
});

test("doors are told by which model to decide, and to go back", async () => {
  const file = await written("two.b64", embedding(2, 0));
  const empty = await muin.run("faces", "models", "promote", "other", "--branch", branchId);
  expect([empty.code, empty.stderr]).toEqual([6, expect.stringContaining("would open to nobody") as string]);
  await json("enrol", "person-2@example.com", "--branch", branchId, "--model", "other", "--face", file, ...consent);
  const promoted = await muin.run("faces", "models", "promote", "other", "--branch", branchId);
  expect(promoted.stdout).toBe(`the doors of branch ${branchId} decide by other, among 1 faces\n`);
  const listed = await muin.run("faces", "models", "list", "--branch", branchId);
  expect(listed.stdout).toMatch(/^other +64 +0\.5 +0\.05 +active, 1 faces, generation 1$/m);
  expect(listed.stdout).toMatch(/^small .* former, /m);
  expect(await json("models", "roll-back", "other", "--branch", branchId)).toMatchObject({ model_id: "small" });
});

test("the faces of a branch are protected anew, and doors know them as before", async () => {
  const file = await written("renewed.b64", embedding(4, 0));
  const enrol = ["enrol", "person-4@example.com", "--branch", branchId, "--model", "small", "--face", file, ...consent];
  const id = String((await json(...enrol))["enrolment_id"]);
  const renew = ["models", "renew", "small", "--branch", branchId] as const;
  expect(await json(...renew)).toMatchObject({ model_id: "small", state: "GALLERY_STATE_ACTIVE", generation: 2 });
  // Repeated, it renews nothing twice.
  const repeated = await muin.run("faces", ...renew, "--generation", "1");
  expect(repeated).toMatchObject({ code: 0, stderr: "" });
  expect(repeated.stdout).toMatch(
    new RegExp(`^the faces of branch ${branchId} by small: active, \\d+ faces, generation 2\n$`),
  );
  expect(await json(...renew)).toMatchObject({ generation: 3 });
  const tooOld = await muin.run("faces", ...renew, "--generation", "1");
  expect([tooOld.code, tooOld.stderr]).toEqual([6, expect.stringContaining("generation") as string]);
  const unknown = await muin.run("faces", "models", "renew", "nothing", "--branch", branchId);
  expect([unknown.code, unknown.stderr]).toEqual([4, `muin: branch ${branchId} has no faces by the model nothing\n`]);
  const checked = await muin.run("faces", "check", "--branch", branchId);
  expect(checked).toMatchObject({ code: 0, stderr: "" });
  await json("erase", id, "--yes");
});

test("a renewal of many parts goes through all of them, and says how to finish one that ends early", async () => {
  const asked: { readonly generation: number; readonly pageToken: string }[] = [];
  const answer = (body: Uint8Array): MessageInitShape<typeof RenewTemplatesResponseSchema> | undefined => {
    const { generation, pageToken } = fromBinary(RenewTemplatesRequestSchema, body);
    asked.push({ generation, pageToken });
    if (asked.length > 3) return undefined;
    return pageToken === "third"
      ? { gallery: { ...gallery, generation: 5 } }
      : { gallery, nextPageToken: pageToken === "" ? "second" : "third" };
  };
  const gallery = { branchId: "b", modelId: "m", state: GalleryState.ACTIVE, faceCount: 9n, generation: 4 };
  const listed = toBinary(ListFaceModelsResponseSchema, create(ListFaceModelsResponseSchema, { galleries: [gallery] }));
  using many = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    fetch: async (request) => {
      const headers = { "content-type": "application/proto" };
      if (request.url.endsWith("/ListFaceModels")) return new Response(listed, { headers });
      const reply = answer(new Uint8Array(await request.arrayBuffer()));
      if (reply === undefined) return Response.json({ code: "internal", message: "internal error" }, { status: 500 });
      const message = create(RenewTemplatesResponseSchema, reply);
      return new Response(toBinary(RenewTemplatesResponseSchema, message), { headers });
    },
  });
  const renew = ["faces", "models", "renew", "m", "--branch", "b", "--url", many.url.href] as const;
  expect(await muin.run(...renew)).toMatchObject({
    code: 0,
    stdout: "the faces of branch b by m: active, 9 faces, generation 5\n",
  });
  expect(asked).toEqual(["", "second", "third"].map((pageToken) => ({ generation: 4, pageToken })));
  const ended = await muin.run(...renew);
  expect([ended.code, ended.stderr]).toEqual([
    1,
    "muin: internal error; the same command with --generation 4 finishes it\n",
  ]);
});

const line = (person: number): string =>
  JSON.stringify({ member_id: memberIds[person], embeddings: [embedding(person, 0), embedding(person, 1)] });
const options = (): readonly string[] => ["--branch", branchId, "--model", "other", ...consent];

describe("a gallery's file", () => {
  test("is imported once though kill -9 ends the command, and a bad line is told", async () => {
    const lines = Array.from({ length: people }, (_, person) => line(person));
    const unknown = JSON.stringify({ member_id: "nobody", embedding: embedding(900, 0) });
    const file = await written("gallery.jsonl", [...lines.slice(0, 5), "{", unknown, ...lines.slice(5)].join("\n"));
    const first = muin.begin(["faces", "import", file, ...options(), "--json"]);
    const enrolledNow = async (): Promise<number> =>
      (await muin.rows("faces", "list", "--branch", branchId)).filter(({ model_id: id }) => id === "other").length;
    await eventually(async () => expect(await enrolledNow()).toBeGreaterThan(1));
    await first.kill();
    const second = await muin.run("faces", "import", file, ...options(), "--json");
    expect(second).toMatchObject({ code: 1, stderr: "muin: 2 lines were not taken\n" });
    const result = JSON.parse(second.stdout) as Json;
    expect(result).toMatchObject({
      lines: people + 2,
      bad_lines: 2,
      bad: [
        { line: 6, why: "it is not JSON" },
        { line: 7, member_id: "nobody", why: expect.stringContaining("USER_NOT_FOUND") as string },
      ],
    });
    expect(Number(result["enrolled"]) + Number(result["known"])).toBe(people);
    const enrolments = (await muin.rows("faces", "list", "--branch", branchId)).filter(
      ({ model_id: id }) => id === "other",
    );
    expect(new Set(enrolments.map(({ member_id: id }) => id))).toEqual(new Set(memberIds));
    expect(enrolments.length).toBe(people);
    const third = await muin.run("faces", "import", file, ...options());
    expect(third.stdout).toContain(`${people} were enrolled already`);
  });

  test("calibrates the model, and doors decide by that", async () => {
    const many = Array.from({ length: 400 }, (_, person) =>
      JSON.stringify({ member_id: `p${person}`, embeddings: [embedding(person, 0), embedding(person, 1)] }),
    );
    const file = await written("calibration.jsonl", many.join("\n"));
    const target = ["--gallery", file, "--target-fpir", "0.01"] as const;
    const offline = await json("calibrate", "--definition", path("model.json"), ...target);
    expect(offline).toMatchObject({ model_id: "small", method: "searches", size: 800, target_fpir: 0.01 });
    const threshold = Number(offline["threshold"]);
    expect(threshold).toBeGreaterThan(0.3);
    expect(threshold).toBeLessThan(0.8);
    const shown = await muin.run("faces", "calibrate", "--model", "small", ...target, "--size", "200", "--apply");
    expect(shown).toMatchObject({ code: 0, stderr: expect.stringContaining("from now on") as string });
    expect(shown.stdout).toMatch(/^FPIR +0\.0\d+ \[/m);
    expect(shown.stdout).toMatch(/^FNIR .* of 400 searches$/m);
    const models = await muin.rows("faces", "models", "list");
    const applied = models.find(({ model_id: id }) => id === "small");
    expect(applied).toMatchObject({ target_false_positive_rate: 0.01, margin: 0.05 });
    expect(Number(applied?.["threshold"])).toBeLessThan(threshold); // Among fewer faces fewer are taken for another.
    const few = await muin.run("faces", "calibrate", "--model", "small", "--gallery", file, "--target-fpir", "1e-6");
    expect([few.code, few.stderr]).toEqual([1, expect.stringContaining("so few comparisons do not show") as string]);
  });

  test("of pairs calibrates too, and what does not fit is named", async () => {
    const pairs = (other: (person: number) => string): string =>
      ["one,other", ...Array.from({ length: 300 }, (_, person) => `${embedding(person, 0)},${other(person)}`)].join(
        "\n",
      );
    const genuine = await written(
      "same.csv",
      pairs((person) => embedding(person, 1)),
    );
    const impostor = await written(
      "others.csv",
      pairs((person) => embedding(person + 300, 0)),
    );
    const found = await json(
      "calibrate",
      "--definition",
      path("model.json"),
      "--impostor",
      impostor,
      "--genuine",
      genuine,
      "--size",
      "2",
      "--target-fpir",
      "0.05",
    );
    expect(found).toMatchObject({ method: "pairs", size: 2, fnir: { trials: 300 } });
    const wrong = await written("wrong.csv", `one,other\n${embedding(0, 0)},x!\n`);
    const refused = await muin.run(
      "faces",
      "calibrate",
      "--definition",
      path("model.json"),
      "--impostor",
      wrong,
      "--size",
      "2",
      "--target-fpir",
      "0.05",
    );
    expect([refused.code, refused.stderr]).toEqual([2, `muin: ${wrong}, line 2: the embedding is not base64\n`]);
  });
});

test("a face is erased for good, with a receipt", async () => {
  const file = await written("gone.b64", embedding(500, 0));
  const enrol = ["enrol", "person-3@example.com", "--branch", branchId, "--model", "small", "--face", file, ...consent];
  const id = String((await json(...enrol))["enrolment_id"]);
  expect((await muin.run("faces", "erase", id)).code).toBe(2);
  expect(await json("erase", id, "--yes")).toMatchObject({ enrolment_id: id, state: "FACE_ERASURE_STATE_DONE" });
  expect((await muin.run("faces", "get", id)).code).toBe(4);
  const receipt = await eventually(async () => {
    const shown = await json("erasure", id);
    expect(shown["receipt"]).toMatch(/^[\w-]+\.[\w-]+\.[\w-]+$/);
    return String(shown["receipt"]);
  });
  const shown = await muin.run("faces", "erasure", id);
  expect(shown.stdout).toMatch(/^doors +no door opens for this face any more$/m);
  expect(shown.stdout).toContain(receipt);
  expect(await json(...enrol)).toMatchObject({ member_id: memberIds[3] }); // Anew.
  const checked = await muin.run("faces", "check");
  expect(checked).toMatchObject({ code: 0, stderr: "" });
  expect(checked.stdout).toMatch(new RegExp(`^${branchId} +small +\\d+ +0 +0 +0 +0 +0$`, "m"));
});

test("the model of the embedder is registered as it is printed", async () => {
  const printed = await muin.run("faces", "model-of-embedder");
  const registered = await muin.begin(["faces", "models", "register", "-", "--json"], { stdin: printed.stdout }).ended;
  expect(registered.code).toBe(0);
  expect(JSON.parse(registered.stdout)).toMatchObject(JSON.parse(printed.stdout) as Json);
});
