import { mkdtemp, readdir, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { systemClock } from "../../../internal/platform/clock/clock.ts";
import { systemRandom } from "../../../internal/platform/clock/random.ts";
import { provideFacePictures } from "../../../internal/platform/testing/face-pictures.ts";
import { muinCommand, runProgram } from "../../../internal/platform/testing/muin.ts";
import { centred, cosineOf, embeddingBytes, embeddingValues } from "../faces/embedding.ts";
import { bunEnvironment } from "./bun-program.ts";
import { embedPicture } from "./embed-picture.ts";
import { embedderModel } from "./model.ts";
import { provideEmbedder } from "./provide-embedder.ts";

// The networks take seconds, and are fetched at first; a hang still ends.
setDefaultTimeout(300_000);

const signal = new AbortController().signal;
const deps = {
  env: process.env,
  report: () => undefined,
  clock: systemClock,
  random: systemRandom,
  signal,
};

let work: string;
let pictures: string;
let folder: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "muin-embedder-"));
  pictures = await provideFacePictures();
  folder = await provideEmbedder({ ...deps, preset: "" });
});
afterAll(() => rm(work, { recursive: true }));

/** Runs `muin faces embed`. */
async function embed(...args: readonly string[]): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const muin = await muinCommand("sources");
  return runProgram([...muin, "faces", "embed", ...args], { cwd: work, env: { MUIN_FACE_EMBEDDER: folder } }).ended;
}

function values(text: string): Float32Array<ArrayBuffer> {
  const bytes = embeddingBytes(text);
  if ("bad" in bytes) throw new Error(bytes.bad);
  return embeddingValues(bytes);
}

/** A face as doors compare it. */
function face(embedding: Float32Array): Float32Array {
  const compared = centred(embedding, values(embedderModel.mean));
  if (compared === undefined) throw new Error("nothing is left of a face less the mean");
  return compared;
}

async function allFacesOf(path: string): Promise<readonly Float32Array[]> {
  const picture = await Bun.file(path).bytes();
  const faces = await embedPicture({ folder, picture, env: process.env, signal });
  return faces.map(({ embedding }) => embeddingValues(embedding));
}

test("photographs of one person are closer than those of another, and the model's threshold lies between", async () => {
  const names = ["obama.jpg", "obama2.jpg", "obama3.jpg", "biden.jpg"] as const;
  const raw: Float32Array[] = [];
  for (const name of names) {
    const { code, stdout, stderr } = await embed(join(pictures, name));
    expect({ name, code, stderr }).toEqual({ name, code: 0, stderr: "" });
    raw.push(values(stdout.trim()));
  }
  expect(raw.map(({ length }) => length)).toEqual(names.map(() => embedderModel.dimensions));
  const [one, two, three, other] = raw.map(face) as [Float32Array, Float32Array, Float32Array, Float32Array];
  const same = [cosineOf(one, two), cosineOf(one, three), cosineOf(two, three)];
  const others = [one, two, three].map((each) => cosineOf(each, other));
  expect(Math.min(...same)).toBeGreaterThan(embedderModel.threshold + 0.1);
  expect(Math.max(...others)).toBeLessThan(embedderModel.threshold - 0.05);
  expect(Math.min(...same)).toBeGreaterThan(Math.max(...others) + embedderModel.margin);
  // Without the mean a stranger looks like a good photograph.
  const zero = new Float32Array();
  const uncentred = raw.map((each) => centred(each, zero) as Float32Array);
  expect(cosineOf(uncentred[0] as Float32Array, uncentred[3] as Float32Array)).toBeGreaterThan(0.75);
});

test("the model's mean is that of the faces in the package's own pictures, who are strangers to each other", async () => {
  const demo = join(folder, "node_modules/@vladmandic/face-api/demo");
  const faces: Float32Array[] = [];
  for (const picture of ["1", "2", "3", "4", "5", "6"]) {
    faces.push(...(await allFacesOf(join(demo, `sample${picture}.jpg`))));
  }
  expect(faces.length).toBe(22);
  const mean = Float32Array.from({ length: embedderModel.dimensions }, (_, k) =>
    faces.reduce((sum, each) => sum + (each[k] as number) / faces.length, 0),
  );
  const stated = values(embedderModel.mean);
  expect(Math.max(...stated.map((value, k) => Math.abs(value - (mean[k] as number))))).toBeLessThan(1e-3);
  const compared = faces.map(face);
  const scores = compared.flatMap((one, index) => compared.slice(index + 1).map((other) => cosineOf(one, other)));
  expect(Math.max(...scores)).toBeLessThan(embedderModel.threshold);
});

describe("muin faces embed", () => {
  test("writes a document that only its owner reads, and over nothing", async () => {
    const out = join(work, "face.json");
    const picture = join(pictures, "biden.jpg");
    expect(await embed(picture, "--out", out)).toMatchObject({ code: 0, stdout: "" });
    expect((await stat(out)).mode & 0o777).toBe(0o600);
    const document = (await Bun.file(out).json()) as Record<string, unknown>;
    expect(document).toEqual({
      model_id: embedderModel.model_id,
      embedding: expect.any(String) as string,
      face: {
        score: expect.any(Number) as number,
        width: expect.any(Number) as number,
        height: expect.any(Number) as number,
      },
    });
    const again = await embed(picture, "--out", out);
    expect([again.code, again.stderr]).toEqual([1, `muin: ${out} is there already\n`]);
  });

  test("of several faces takes the largest, when it is told to", async () => {
    const group = join(folder, "node_modules/@vladmandic/face-api/demo/sample1.jpg");
    const several = await embed(group);
    expect([several.code, several.stderr]).toEqual([
      1,
      `muin: ${group}: there are 3 faces in it; --largest takes the largest\n`,
    ]);
    expect(await embed(group, "--largest")).toMatchObject({ code: 0, stderr: "" });
  });

  test("says in a sentence why a picture is not taken", async () => {
    const whole = await Bun.file(join(pictures, "obama.jpg")).bytes();
    // Two colours of 10 x 10 pixels, in Bun's own bitmap: enlarged it is a picture with nobody in it.
    const bitmap = Buffer.alloc(54 + 10 * 32, 0x80);
    bitmap.set([0x42, 0x4d]);
    [bitmap.length, 0, 54, 40, 10, 10, 1 | (24 << 16), 0, 320, 0, 0, 0, 0].forEach((value, index) =>
      bitmap.writeUInt32LE(value, 2 + 4 * index),
    );
    const bomb = Buffer.alloc(45);
    Buffer.from("89504e470d0a1a0a0000000d49484452", "hex").copy(bomb);
    bomb.writeUInt32BE(200_000, 16);
    bomb.writeUInt32BE(200_000, 20);
    bomb.set([8, 2, 0, 0, 0], 24);
    const cases: readonly (readonly [name: string, content: Uint8Array, why: RegExp])[] = [
      ["nobody.bmp", bitmap, /there is no face in it/],
      ["text.jpg", Buffer.from("not a picture"), /it is no picture/],
      ["empty.jpg", new Uint8Array(), /it is no picture|it is damaged/],
      ["cut.jpg", whole.slice(0, 30_000), /it is damaged/],
      ["bomb.png", bomb, /it has more than 50 million pixels|it is damaged/],
      ["large.jpg", new Uint8Array((32 << 20) + 1), /it has more than 32 MiB/],
    ];
    for (const [name, content, why] of cases) {
      const path = join(work, name);
      await Bun.write(path, content);
      const { code, stdout, stderr } = await embed(path);
      expect({ name, code, stdout }).toEqual({ name, code: 1, stdout: "" });
      expect(stderr).toStartWith(`muin: ${path}: `);
      expect(stderr).toMatch(why);
      expect(stderr.trim()).not.toContain("\n");
    }
    const missing = await embed(join(work, "missing.jpg"));
    expect([missing.code, missing.stderr]).toEqual([1, `muin: ${join(work, "missing.jpg")} cannot be read (ENOENT)\n`]);
  });
});

test("a model definition is printed for registration", async () => {
  const muin = await muinCommand("sources");
  const { code, stdout } = await runProgram([...muin, "faces", "model-of-embedder"], { cwd: work }).ended;
  expect([code, JSON.parse(stdout)]).toEqual([0, embedderModel]);
});

describe("the packages", () => {
  test("with other bytes than those that are pinned are refused, after another try, and nothing is kept", async () => {
    const asked: string[] = [];
    using registry = Bun.serve({
      port: 0,
      hostname: "127.0.0.1",
      fetch: async (request) => {
        const path = decodeURIComponent(new URL(request.url).pathname);
        asked.push(path);
        const [, name = "", version = ""] = /^\/(.+)\/-\/.*-(\d[^/]*)\.tgz$/.exec(path) ?? [];
        const manifest = JSON.stringify({ name, version, main: "evil.js" });
        const archive = new Bun.Archive(
          { "package/package.json": manifest, "package/evil.js": "" },
          { compress: "gzip" },
        );
        return new Response(await archive.bytes());
      },
    });
    const reported: string[] = [];
    const clock = { ...systemClock, sleep: () => Promise.resolve() };
    const env = { ...process.env, XDG_CACHE_HOME: work, npm_config_registry: registry.url.href };
    const fetched = provideEmbedder({ ...deps, preset: "", env, clock, report: (line) => reported.push(line) });
    const error = await fetched.then(
      () => undefined,
      (error: unknown) => error,
    );
    expect(error).toMatchObject({
      name: "SetupError",
      message: expect.stringMatching(/integrity/i) as string,
    });
    expect(asked).toContain("/@vladmandic/face-api/-/face-api-1.7.15.tgz");
    expect(reported.filter((line) => line.includes("trying again")).length).toBe(2);
    expect(await readdir(join(work, "muin"))).not.toContain("face-embedder-1");
  });

  test("are looked for where MUIN_FACE_EMBEDDER says, and nowhere else", async () => {
    const { code, stderr } = await runProgram(
      [...(await muinCommand("sources")), "faces", "embed", join(pictures, "biden.jpg")],
      { cwd: work, env: { MUIN_FACE_EMBEDDER: work } },
    ).ended;
    expect(code).toBe(1);
    expect(stderr).toContain(`MUIN_FACE_EMBEDDER is ${work}, which lacks packages`);
  });

  test("run without anything of Muin's", () => {
    const env = { HOME: "/h", MUIN_API_KEY: "muin_x", MUIN_API_KEY_FILE: "/k", OTHER: undefined };
    expect(bunEnvironment(env)).toEqual({ HOME: "/h", BUN_BE_BUN: "1" });
  });
});
