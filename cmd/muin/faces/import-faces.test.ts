import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { Code, ConnectError } from "@connectrpc/connect";
import { gzipSync } from "node:zlib";
import { ErrorInfoSchema } from "../../../internal/gen/google/rpc/error_details_pb.ts";
import { caught, importMutant } from "../../../internal/platform/testing/mutant.ts";
import { createSyntheticFaces } from "../../../internal/shared/faces/synthetic-faces.ts";
import { openSource } from "../import/source.ts";
import { bytesOfValues } from "./embedding.ts";
import { type FaceImportResult, importFaces, type FaceToEnrol } from "./import-faces.ts";

const faces = createSyntheticFaces({ seed: 2, dimensions: 64 });
const embedding = (person: number): string =>
  Buffer.from(bytesOfValues(faces.photographOf(person, 0))).toString("base64");

let work: string;
beforeAll(async () => {
  work = await mkdtemp(join(tmpdir(), "muin-faces-"));
});
afterAll(() => rm(work, { recursive: true }));

type ImportFaces = typeof importFaces;

/** What a server remembers: who is enrolled, and by which request. */
interface Server {
  readonly enrolled: Map<string, string>;
  readonly enrol: (face: FaceToEnrol) => Promise<boolean>;
}

function createServer(): Server {
  const enrolled = new Map<string, string>();
  return {
    enrolled,
    enrol: async ({ memberId, requestId }) => {
      await Promise.resolve();
      const by = enrolled.get(memberId);
      if (by !== undefined && by !== requestId) return false;
      enrolled.set(memberId, requestId);
      return true;
    },
  };
}

function emptyResult(): FaceImportResult {
  return { lines: 0, enrolled: 0, known: 0, badCount: 0, bad: [], offset: 0, offsetStart: 0 };
}

async function run(
  path: string,
  options: {
    readonly enrol: (face: FaceToEnrol) => Promise<boolean>;
    readonly known?: ReadonlySet<string>;
    readonly importFaces?: ImportFaces;
    readonly consentVersion?: string | undefined;
  },
): Promise<FaceImportResult> {
  const result = emptyResult();
  await (options.importFaces ?? importFaces)(await openSource(path), {
    common: "branch model",
    consentVersion: "consentVersion" in options ? options.consentVersion : "1",
    consentTimeMs: 1_700_000_000_000,
    known: options.known ?? new Set(),
    enrol: options.enrol,
    onProgress: () => undefined,
    signal: new AbortController().signal,
    result,
  });
  return result;
}

function refusal(code: Code, reason: string): ConnectError {
  return new ConnectError("refused", code, undefined, [{ desc: ErrorInfoSchema, value: { reason, domain: "muin" } }]);
}

describe("an import of faces", () => {
  test("reads lines of JSON, tables and gzip, and tells what is wrong line by line", async () => {
    const json = [
      JSON.stringify({ member_id: "a", embeddings: [embedding(0), embedding(1)] }),
      "",
      JSON.stringify({ member_id: "b", embedding: embedding(2), consent_version: "2", consent_time: "2026-11-01" }),
      "{not json",
      JSON.stringify({ embedding: embedding(3) }),
      JSON.stringify({ member_id: "c d", embedding: embedding(3) }),
      JSON.stringify({ member_id: "c" }),
      JSON.stringify({ member_id: "c", embedding: "not base64!" }),
      JSON.stringify({ member_id: "c", embedding: Buffer.alloc(12).toString("base64") }),
      JSON.stringify({ member_id: "c", embedding: Buffer.alloc(256).toString("base64") }),
      JSON.stringify({
        member_id: "c",
        embedding: Buffer.from(new Float32Array(64).fill(Number.NaN).buffer).toString("base64"),
      }),
      JSON.stringify({ member_id: "c", embeddings: Array.from({ length: 11 }, () => embedding(4)) }),
      JSON.stringify({ member_id: "c", embedding: embedding(3), consent_time: "yesterday" }),
    ].join("\n");
    const path = join(work, "gallery.jsonl.gz");
    await Bun.write(path, gzipSync(`\uFEFF${json}`));
    const taken: FaceToEnrol[] = [];
    const result = await run(path, { enrol: (face) => Promise.resolve(taken.push(face) > 0) });
    expect(
      taken.map(({ memberId, embeddings, consentVersion, consentTimeMs }) => [
        memberId,
        embeddings.length,
        consentVersion,
        consentTimeMs,
      ]),
    ).toEqual([
      ["a", 2, "1", 1_700_000_000_000],
      ["b", 1, "2", Date.parse("2026-11-01")],
    ]);
    expect(taken[0]?.embeddings[1]).toEqual(bytesOfValues(faces.photographOf(1, 0)));
    expect({ ...result, bad: result.bad.map(({ line, why }) => `${line} ${why}`) }).toMatchObject({
      lines: 12,
      enrolled: 2,
      badCount: 10,
      bad: [
        "4 it is not JSON",
        "5 it has no member_id, or one that cannot be a person's id",
        "6 it has no member_id, or one that cannot be a person's id",
        "7 it has no embedding",
        "8 the embedding is not base64",
        "9 the embedding has 12 bytes, which are not 64 to 2048 numbers of 4 bytes",
        "10 the embedding is zero",
        "11 the embedding holds NaN or an infinity",
        "12 it has 11 embeddings, more than 10",
        "13 its consent_time is no date and no time with its offset",
      ],
    });
    const table = join(work, "gallery.csv");
    await Bun.write(
      table,
      `member_id;embedding;embedding\r\nx;${embedding(5)};\r\ny;${embedding(6)};${embedding(7)}\r\nz;1;2;3\r\n`,
    );
    const server = createServer();
    expect(await run(table, server)).toMatchObject({
      lines: 3,
      enrolled: 2,
      badCount: 1,
      offset: Bun.file(table).size,
    });
    expect([...server.enrolled.keys()]).toEqual(["x", "y"]);
  });

  test("asks for consent", async () => {
    const path = join(work, "no-consent.jsonl");
    await Bun.write(path, `${JSON.stringify({ member_id: "a", embedding: embedding(0) })}\n`);
    const result = await run(path, { ...createServer(), consentVersion: undefined });
    expect(result.bad).toEqual([
      { line: 1, memberId: "", why: "it tells no consent_version, and --consent-version gives none" },
    ]);
  });

  const lines = Array.from({ length: 200 }, (_, person) =>
    JSON.stringify({ member_id: `m${person}`, embedding: embedding(person) }),
  );

  /** Runs that lose the connection at some point, sometimes after the server has done what was asked. */
  const enrolsEachOnce = async (importFaces: ImportFaces): Promise<void> => {
    const path = join(work, "cut.jsonl");
    await Bun.write(path, lines.join("\n"));
    const server = createServer();
    let told = 0;
    for (const [after, isDone] of [
      [3, true],
      [50, false],
      [51, true],
      [120, true],
    ] as const) {
      let calls = 0;
      const cut = run(path, {
        importFaces,
        known: new Set([...server.enrolled.keys()].slice(0, -2)), // The list may be of a moment before.
        enrol: async (face) => {
          calls += 1;
          if (calls < after) return server.enrol(face);
          if (isDone) await server.enrol(face);
          throw new ConnectError("the connection broke", Code.Unavailable);
        },
      });
      await cut.then(
        () => undefined,
        (error: unknown) => expect(String(error)).toContain("the connection broke"),
      );
    }
    const result = await run(path, {
      importFaces,
      known: new Set(),
      enrol: async (face) => {
        const isNew = await server.enrol(face);
        if (!isNew) told += 1;
        return isNew;
      },
    });
    expect(told).toBe(0); // Each line has its old request: what it did before is what it does now.
    expect(result).toMatchObject({ lines: 200, enrolled: 200, badCount: 0, offset: Bun.file(path).size });
    expect(server.enrolled.size).toBe(200);
  };

  test("that is cut off enrols each once when it is run again", () => enrolsEachOnce(importFaces));

  test("mutant: names requests by chance", async () => {
    const mutant = await importMutant<{ importFaces: ImportFaces }>(
      join(import.meta.dir, "import-faces.ts"),
      'hash.digest("base64url").slice(0, 32)',
      "crypto.randomUUID()",
    );
    await caught(() => enrolsEachOnce(mutant.importFaces));
  });

  test("goes on behind a face that is refused, and ends at what is no line's fault", async () => {
    const path = join(work, "refused.jsonl");
    await Bun.write(path, lines.slice(0, 40).join("\n"));
    const result = await run(path, {
      enrol: ({ memberId }) => {
        if (memberId === "m3") return Promise.reject(refusal(Code.AlreadyExists, "FACE_KNOWN"));
        return Promise.resolve(memberId !== "m5");
      },
    });
    expect(result).toMatchObject({
      lines: 40,
      enrolled: 38,
      known: 1,
      bad: [{ line: 4, memberId: "m3", why: "refused (FACE_KNOWN)" }],
    });
    const denied = run(path, { enrol: () => Promise.reject(refusal(Code.PermissionDenied, "ENROLMENT_FORBIDDEN")) });
    expect(await denied.catch(String)).toContain("refused");
  });

  test("of what is no gallery is refused", async () => {
    const path = join(work, "picture.jpg");
    await Bun.write(path, "just a text");
    expect(await run(path, createServer()).catch(String)).toContain("is no lines of JSON, and no table");
  });
});
