import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { compressionBrotli, createGrpcTransport } from "@connectrpc/connect-node";
import { describe, expect, test } from "bun:test";
import { brotliCompressSync, constants } from "node:zlib";
import { importMutant } from "../../testing/mutant.ts";
import { LookRequestSchema, ProbeService } from "../testdata/probe_pb.ts";
import * as real from "../testdata/start-probe-server.ts";

type Start = (typeof real)["startProbeServer"];

/** 64 MiB in a few hundred bytes, of a window of so many bits. */
function bomb(windowBits: number): Uint8Array<ArrayBuffer> {
  return brotli(Buffer.alloc(64 * 1024 * 1024, 0x20), windowBits);
}

function brotli(bytes: Uint8Array, windowBits: number): Uint8Array<ArrayBuffer> {
  const params = { [constants.BROTLI_PARAM_LGWIN]: windowBits, [constants.BROTLI_PARAM_QUALITY]: 5 };
  return new Uint8Array(brotliCompressSync(bytes, { params }));
}

const looks = ["/muin.probe.v1.ProbeService/Look", "/api/v1/looks:whole"];
const probes = ["/muin.probe.v1.ProbeService/Slow", "/muin.probe.v1.ProbeService/Fast", "/api/v1/probes/a"];

/** What the server answers to a body: the status, and the error's text. */
async function answers(
  { startProbeServer }: { readonly startProbeServer: Start },
  paths: readonly string[],
  encoding: string,
  body: Uint8Array<ArrayBuffer>,
): Promise<(readonly [status: number, text: string])[]> {
  await using server = await startProbeServer();
  const headers = { "content-type": "application/json", "content-encoding": encoding };
  return await Promise.all(
    paths.map(async (path) => {
      const known = looks.includes(path) ? undefined : { authorization: "Bearer good" };
      const answer = await fetch(server.addresses.http + path, {
        method: "POST",
        headers: { ...headers, ...known },
        body,
      });
      return [answer.status, await answer.text()] as const;
    }),
  );
}

const statuses = (found: readonly (readonly [number, string])[]): number[] => found.map(([status]) => status);

describe("Brotli", () => {
  test("is not taken where anybody may call: the sender chooses what it costs", async () => {
    const found = await answers(real, looks, "br", brotli(Buffer.from(`{"name":"abc"}`), 16));
    expect(statuses(found)).toEqual([501, 501]);
    expect(found[1]![1]).toContain("content-encoding br is not taken here, but gzip");
  });

  test("is taken of a known caller, as compressors make it", async () => {
    expect(statuses(await answers(real, probes, "br", brotli(Buffer.from(`{"requestId":"12345678"}`), 22)))).toEqual([
      // A name must be there, which the path of the third gives.
      400, 400, 200,
    ]);
  });

  test("is refused with a window beyond 4 MiB before any of it is decompressed", async () => {
    for (const bits of [23, 24]) {
      const found = await answers(real, probes, "br", bomb(bits));
      expect(statuses(found)).toEqual([429, 429, 413]);
      for (const [, text] of found) expect(text).toContain("a Brotli window of more than 22 bits is not taken");
    }
  });

  test("and gzip end at the limit on messages, 16 KiB where anybody may call", async () => {
    const message = `{"name":"${"a".repeat(16_384)}"}`;
    expect(statuses(await answers(real, looks, "gzip", Bun.gzipSync(message)))).toEqual([429, 413]);
    expect(statuses(await answers(real, probes, "br", bomb(22)))).toEqual([429, 429, 413]);
    expect(statuses(await answers(real, probes, "gzip", Bun.gzipSync(Buffer.alloc(1_048_577, 0x20))))).toEqual([
      429, 429, 413,
    ]);
  });
});

const codeOf = (work: Promise<unknown>): Promise<Code | undefined> =>
  work.then(
    () => undefined,
    (error: unknown) => ConnectError.from(error).code,
  );

test("the gRPC port keeps the same limits", async () => {
  await using server = await real.startProbeServer();
  const calls = (compressed: boolean) =>
    createClient(
      ProbeService,
      createGrpcTransport({
        baseUrl: `http://${server.addresses.grpc}`,
        ...(compressed ? { sendCompression: compressionBrotli, compressMinBytes: 0 } : {}),
      }),
    );
  expect(await codeOf(calls(true).look({ name: "a" }))).toBe(Code.Unimplemented);
  expect(await codeOf(calls(false).look({ name: "a".repeat(16_384) }))).toBe(Code.ResourceExhausted);
  const known = { headers: { authorization: "Bearer good" } };
  expect(await codeOf(calls(true).slow({ name: "a" }, known))).toBeUndefined();
  expect(await codeOf(calls(false).slow({ name: "a", requestId: "x".repeat(1_048_576) }, known))).toBe(
    Code.ResourceExhausted,
  );
  expect(toBinary(LookRequestSchema, create(LookRequestSchema, { name: "a".repeat(16_384) })).length).toBeGreaterThan(
    16_384,
  );
});

test("mutants that take Brotli of anybody, or of any window, are noticed", async () => {
  const through = [`${import.meta.dir}/../testdata/start-probe-server.ts`];
  const path = `${import.meta.dir}/compressions.ts`;
  const open = await importMutant<typeof real>(path, "!limits.takesPublicBrotli", "limits.takesPublicBrotli", through);
  expect(statuses(await answers(open, looks, "br", brotli(Buffer.from(`{"name":"abc"}`), 16)))).toEqual([200, 200]);
  const wide = await importMutant<typeof real>(path, "<= windowBitsMax", "<= 24", through);
  for (const [, text] of await answers(wide, probes, "br", bomb(24))) expect(text).not.toContain("window");
  const vast = await importMutant<typeof real>(
    `${import.meta.dir}/limits.ts`,
    "policy.public ? limits.publicReadBytesMax : limits.readBytesMax",
    "limits.readBytesMax",
    through,
  );
  const message = Bun.gzipSync(`{"name":"${"a".repeat(16_384)}"}`);
  expect(statuses(await answers(vast, looks, "gzip", message))).not.toContain(429);
});
