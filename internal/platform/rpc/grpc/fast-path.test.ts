import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  connect,
  constants,
  type ClientHttp2Session,
  type ClientHttp2Stream,
  type IncomingHttpHeaders,
} from "node:http2";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { eventually } from "../../testing/eventually.ts";
import { envelope } from "../../testing/http2-frames.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import { openHttp2 } from "../testdata/http2-peer.ts";
import { huge, path, truncated, valid } from "../testdata/raw-bodies.ts";
import { startProbeServer, type ProbeServer } from "../testdata/start-probe-server.ts";

let server: ProbeServer;
let session: ClientHttp2Session;
beforeAll(async () => {
  server = await startProbeServer();
  session = openSession(server);
});
afterAll(async () => {
  session.destroy();
  await server.stop();
});

function openSession({ addresses }: ProbeServer): ClientHttp2Session {
  const opened = connect(`http://${addresses.grpc}`);
  opened.on("error", () => undefined); // The server may end it.
  return opened;
}

const plain = {
  ":method": "POST",
  "content-type": "application/grpc",
  te: "trailers",
  authorization: "Bearer good",
};

function begin(method: string, headers: Readonly<Record<string, string>> = {}, on = session): ClientHttp2Stream {
  const stream = on.request({ ...plain, ...headers, ":path": `${path}/${method}` }, { endStream: false });
  stream.on("error", () => undefined); // A test that resets it looks elsewhere.
  return stream;
}

interface Answer {
  /** grpc-status. */
  readonly status: string;
  /** grpc-message. */
  readonly text: string;
  /** How many bytes came. */
  readonly bytes: number;
  /** Code by which the stream was closed. */
  readonly code: number;
  readonly contentType: string | undefined;
}

/** What came of a call, once its stream is closed. */
function answerTo(stream: ClientHttp2Stream): Promise<Answer> {
  const seen: IncomingHttpHeaders = {};
  let bytes = 0;
  stream.on("response", (headers) => Object.assign(seen, headers));
  stream.on("trailers", (headers) => Object.assign(seen, headers));
  stream.on("data", (chunk: Buffer) => (bytes += chunk.byteLength));
  return new Promise((resolve) =>
    stream.once("close", () =>
      resolve({
        status: String(seen["grpc-status"] ?? "none"),
        text: String(seen["grpc-message"] ?? ""),
        bytes,
        code: stream.rstCode,
        contentType: seen["content-type"],
      }),
    ),
  );
}

function send(method: string, body: Uint8Array, headers: Readonly<Record<string, string>> = {}): Promise<Answer> {
  const stream = begin(method, headers);
  const answered = answerTo(stream);
  stream.end(body);
  return answered;
}

const message = envelope(valid);

describe("answers as the library's handlers do", () => {
  test.each([
    ["a message", message, {}, "0"],
    ["no message", Buffer.alloc(0), {}, "12"],
    ["a cut envelope", message.subarray(0, 3), {}, "3"],
    ["less than the envelope says", message.subarray(0, message.length - 1), {}, "3"],
    ["two messages", Buffer.concat([message, message]), {}, "12"],
    ["a compressed message of no named compression", envelope(gzipSync(valid), { compressed: true }), {}, "13"],
    ["a message that does not parse", envelope(truncated), {}, "3"],
    ["a message of 5 MiB", envelope(huge), {}, "8"],
    ["a length of 4 GiB and nothing of it", envelope(Buffer.alloc(0), { length: 0xffff_ffff }), {}, "8"],
    ["a message with flags that nobody knows", Buffer.concat([Buffer.from([2]), message.subarray(1)]), {}, "0"],
    ["a deadline that is none", message, { "grpc-timeout": "soon" }, "3"],
    ["a deadline of 25 hours", message, { "grpc-timeout": "25H" }, "3"],
    ["no credentials and 5 MiB", envelope(huge), { authorization: "" }, "16"],
    ["the content type application/grpc+proto", message, { "content-type": "application/grpc+proto" }, "0"],
    ["identity encoding", message, { "grpc-encoding": "identity" }, "0"],
    ["gzip", envelope(gzipSync(valid), { compressed: true }), { "grpc-encoding": "gzip" }, "0"],
    ["an unknown encoding", message, { "grpc-encoding": "zip" }, "12"],
  ] as const)("%s", async (_name, body, headers, status) => {
    const hot = await send("Fast", body, headers);
    expect(hot.status).toBe(status);
    if (status === "0") expect(hot.bytes).toBeGreaterThan(5);
    const { code, ...rest } = await send("Slow", body, headers);
    expect(hot).toMatchObject(rest);
    expect([constants.NGHTTP2_NO_ERROR, code]).toContain(hot.code);
  });
});

test("a request in many small pieces is put together", async () => {
  const stream = begin("Fast");
  const answered = answerTo(stream);
  for (const byte of message) await new Promise((resolve) => stream.write(Buffer.from([byte]), resolve));
  stream.end();
  expect(await answered).toMatchObject({ status: "0" });
});

const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");
type Entry = typeof import("../testdata/start-probe-server.ts");

/** A message of which so many bytes are in a field that nobody knows. */
function ofBytes(bytes: number): Buffer {
  const field = [0xc2, 0x3e, (bytes % 128) + 128, Math.floor(bytes / 128)]; // Number 1000, and its length.
  return envelope(Buffer.concat([valid, Buffer.from(field), Buffer.alloc(bytes)]));
}

/** How requests end that come in frames of so many bytes. */
async function endsOfChopped({ addresses }: ProbeServer): Promise<readonly string[]> {
  const ends: string[] = [];
  for (const method of ["Fast", "Slow"]) {
    for (const [bytes, frameBytes] of [
      [900, 1],
      [2000, 1],
      [15_900, 15],
      [16_300, 16],
      [16_000, 16_000],
    ] as const) {
      using peer = openHttp2(addresses.grpc);
      ends.push(
        `${method} ${bytes}/${frameBytes} ${await peer.begin(method, "Bearer good").end(ofBytes(bytes), frameBytes)}`,
      );
    }
  }
  return ends;
}
const chopped = ["Fast", "Slow"].flatMap((method) => [
  `${method} 900/1 answered`,
  `${method} 2000/1 refused`,
  `${method} 15900/15 refused`,
  `${method} 16300/16 answered`,
  `${method} 16000/16000 answered`,
]);

test("a request of more than 1000 pieces must have 16 bytes in each", async () => {
  expect(await endsOfChopped(server)).toEqual(chopped);
});

test.each([
  ["may come in single bytes", "call.pieces >= freePieces && ", "false && "],
  ["may not come in small pieces at all", "call.pieces >= freePieces && ", ""],
  ["must come in pieces of more than 16 bytes", "pieceBytesMin = 16", "pieceBytesMin = 17"],
])("the tests notice when a request %s", async (_rule, from, to) => {
  const path = join(import.meta.dir, "../call/awaited-bodies.ts");
  const mutant = await importMutant<Entry>(path, from, to, [entry]);
  await using broken = await mutant.startProbeServer();
  await caught(async () => expect(await endsOfChopped(broken)).toEqual(chopped));
});

test("a request that never ends has its deadline, and its stream is closed without error", async () => {
  const answers = await Promise.all(
    Array.from({ length: 4 }, () => {
      const stream = begin("Fast", { "grpc-timeout": "50m" });
      stream.write(message.subarray(0, 7));
      return answerTo(stream);
    }),
  );
  for (const answer of answers) expect(answer).toMatchObject({ status: "4", code: constants.NGHTTP2_NO_ERROR });
});

/** How calls end whose caller resets them: before a request, with a part of it, and all of it but its end; also while it is found out who calls. */
async function endsOfCanceled({ addresses, ended }: ProbeServer): Promise<readonly string[]> {
  using peer = openHttp2(addresses.grpc);
  const before = ended.length;
  for (const authorization of ["Bearer good", "Bearer later-good"]) {
    for (const sent of [undefined, message.subarray(0, 7), message]) peer.cancel("Fast", authorization, sent);
  }
  await eventually(() => expect(ended.length).toBe(before + 6));
  return ended.slice(before);
}
const canceled = Array.from({ length: 6 }, () => "grpc Fast canceled");

test("a caller who goes away ends the call, and the handler does not run", async () => {
  expect(await endsOfCanceled(server)).toEqual(canceled);
  expect(await send("Fast", message)).toMatchObject({ status: "0" });
});

test("a caller who goes away while it is answered gets nothing, and others go on", async () => {
  const streams = Array.from({ length: 50 }, () => begin("Fast"));
  for (const stream of streams) {
    stream.end(message);
    stream.close(constants.NGHTTP2_CANCEL);
  }
  expect(await send("Fast", message)).toMatchObject({ status: "0" });
  expect(server.lines.filter(({ message: text }) => text === "call failed")).toEqual([]);
});

test("many streams at once, each with large headers, are all answered", async () => {
  const large = { "x-large": "x".repeat(12_000) };
  const answers = await Promise.all(Array.from({ length: 60 }, () => send("Fast", message, large)));
  expect(answers.map(({ status }) => status)).toEqual(Array.from({ length: 60 }, () => "0"));
});

test("a stop answers what is under way", async () => {
  const own = await startProbeServer({ shutdownGraceMs: 30_000 });
  const client = openSession(own);
  const stream = begin("Fast", { authorization: "Bearer later-good" }, client);
  const answered = answerTo(stream);
  stream.write(message.subarray(0, 7));
  const other = begin("Fast", {}, client);
  const first = answerTo(other);
  other.end(message);
  expect(await first).toMatchObject({ status: "0" }); // Both have come.
  const stopped = own.stop();
  stream.end(message.subarray(7));
  expect(await answered).toMatchObject({ status: "0" });
  await stopped;
  client.destroy();
});

test.each([
  ["who went away while it was found out who calls", "if (stream.aborted || stream.destroyed) return onCutOff();", ""],
  ["a reset after which the request looks ended", 'stream.once("aborted", onCutOff);', ""],
])("the tests notice when %s is overlooked", async (_rule, from, to) => {
  const mutant = await importMutant<Entry>(join(import.meta.dir, "read-stream.ts"), from, to, [entry]);
  const broken = await mutant.startProbeServer({ limits: { bodyMsMax: 50 } });
  try {
    await caught(async () => expect(await endsOfCanceled(broken)).toEqual(canceled));
  } finally {
    await broken.stop();
  }
});

test.each([
  [
    "an envelope may promise anything",
    "if (promised > this.#bytesMax) {",
    "if (false) {",
    envelope(Buffer.alloc(0), { length: 0xffff_ffff }),
    "3",
  ],
  [
    "nobody looks whether a message is whole",
    "bytes < envelopeBytes + promised",
    "false",
    message.subarray(0, 10),
    "0",
  ],
  [
    "a second message is overlooked",
    "if (this.#pieces.byteLength <= envelopeBytes + promised) return undefined;",
    "return undefined;",
    Buffer.concat([message, Buffer.alloc(5)]),
    "3",
  ],
] as const)("the tests notice when %s", async (_rule, from, to, body, status) => {
  const mutant = await importMutant<Entry>(join(import.meta.dir, "read-stream.ts"), from, to, [entry]);
  const broken = await mutant.startProbeServer();
  const client = openSession(broken);
  try {
    const stream = begin("Fast", {}, client);
    const answered = answerTo(stream);
    stream.end(body);
    expect((await answered).status).toBe(status);
  } finally {
    client.destroy();
    await broken.stop();
  }
});
