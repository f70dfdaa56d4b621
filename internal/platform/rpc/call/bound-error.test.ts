import { create, toBinary } from "@bufbuild/protobuf";
import { Code, ConnectError } from "@connectrpc/connect";
import { decodeBinaryHeader } from "@connectrpc/connect";
import { describe, expect, test } from "bun:test";
import { once } from "node:events";
import { connect, type IncomingHttpHeaders } from "node:http2";
import { join } from "node:path";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema, type Status } from "../../../gen/google/rpc/status_pb.ts";
import { MuinError } from "../../errors/muin-error.ts";
import { fieldsInvalid } from "../../resource/errors.ts";
import { caught, importMutant } from "../../testing/mutant.ts";
import { lanes } from "../testdata/probe-lanes.ts";
import { ProbeRequestSchema, ProbeService } from "../testdata/probe_pb.ts";
import { createProbeService } from "../testdata/probe-service.ts";
import { startProbeServer } from "../testdata/start-probe-server.ts";

type Start = typeof startProbeServer;

/** The headers of a call that failed over gRPC, and their bytes as HTTP/2 counts them. */
async function failed(
  start: Start,
  error: Error,
): Promise<{ readonly bytes: number; readonly status: Status; readonly message: string }> {
  const probe = createProbeService({ released: 0, address: "", timeoutMs: undefined });
  const slow = (): never => {
    throw error;
  };
  await using server = await start({ served: [{ ...probe, impl: Object.assign({}, probe.impl, { slow }) }] });
  const session = connect(`http://${server.addresses.grpc}`);
  try {
    const request = session.request({
      ":method": "POST",
      ":path": `/${ProbeService.typeName}/Slow`,
      "content-type": "application/grpc",
      te: "trailers",
      authorization: "Bearer good",
    });
    const body = toBinary(ProbeRequestSchema, create(ProbeRequestSchema, { name: "a" }));
    const head = Buffer.alloc(5);
    head.writeUInt32BE(body.length, 1);
    request.end(Buffer.concat([head, body]));
    request.resume();
    const [trailers] = (await once(request, "trailers")) as [IncomingHttpHeaders];
    const entries = Object.entries(trailers).map(([name, value]) => name.length + String(value).length + 32);
    return {
      bytes: entries.reduce((sum, bytes) => sum + bytes, 0),
      status: decodeBinaryHeader(String(trailers["grpc-status-details-bin"]), StatusSchema),
      message: decodeURIComponent(String(trailers["grpc-message"])),
    };
  } finally {
    session.destroy();
  }
}

const violations = (count: number, text: string) =>
  Array.from({ length: count }, (_, index) => ({ field: `ids[${index}]`, description: text }));
const muin = (options: Partial<ConstructorParameters<typeof MuinError>[0]>) =>
  new MuinError({ code: "aborted", reason: "TOO_LONG", message: "short", ...options });
const detailed = (details: ConnectError["details"]): ConnectError => {
  const error = new ConnectError("short", Code.Aborted);
  error.details = details;
  return error;
};

const longErrors: readonly (readonly [name: string, error: Error])[] = [
  ["a long message", muin({ message: "long ".repeat(4000) })],
  ["a long message that is not ASCII", muin({ message: "長い".repeat(4000) })],
  ["a long message of pairs", muin({ message: "😀".repeat(4000) })],
  ["half a pair", muin({ message: "\ud83d" })],
  ["long metadata", muin({ metadata: { a: "x".repeat(20_000), b: "é".repeat(20_000) } })],
  [
    "much metadata",
    muin({ metadata: Object.fromEntries(Array.from({ length: 500 }, (_, index) => [`key_${index}`, "value"])) }),
  ],
  ["1000 violations", fieldsInvalid(violations(1000, "must be short"))],
  ["long violations", fieldsInvalid(violations(20, "長い".repeat(1000)))],
  ["one long violation", fieldsInvalid(violations(1, "x".repeat(20_000)))],
  ["a detail of another kind", detailed([{ type: "muin.probe.v1.Part", value: new Uint8Array(20_000) }])],
  [
    "a long reason of another server",
    detailed([
      {
        type: ErrorInfoSchema.typeName,
        value: toBinary(
          ErrorInfoSchema,
          create(ErrorInfoSchema, { reason: "TOO_LONG", domain: "muin", metadata: { a: "x".repeat(9000) } }),
        ),
      },
    ]),
  ],
  ["metadata of the protocol", new ConnectError("short", Code.Aborted, { "x-long": "x".repeat(5000) })],
  [
    "everything at once",
    muin({
      message: "長い".repeat(4000),
      metadata: { a: "é".repeat(20_000) },
      violations: violations(50, "長い".repeat(100)),
      retryAfterMs: 1500,
    }),
  ],
];

function reasonIn(status: Status): string {
  const info = status.details.find(({ typeUrl }) => typeUrl.endsWith(ErrorInfoSchema.typeName));
  return info === undefined ? "" : /[A-Z_]{4,}/.exec(Buffer.from(info.value).toString("latin1"))![0];
}

async function expectBound(start: Start, name: string, error: Error): Promise<void> {
  const { bytes, status, message } = await failed(start, error);
  expect([name, bytes <= 4096]).toEqual([name, true]);
  expect(status.message).toBe(message);
  expect(reasonIn(status)).toBeOneOf(["TOO_LONG", "FIELD_INVALID", "ABORTED"]);
}

describe("what says how a call failed has 4 KiB over gRPC at the most", () => {
  test.each(longErrors)("%s", (name, error) => expectBound(startProbeServer, name, error));

  test("and keeps when to try again, and the beginning of its texts", async () => {
    const { status, message } = await failed(startProbeServer, longErrors.at(-1)![1]);
    const types = status.details.map(({ typeUrl }) => typeUrl.replace("type.googleapis.com/", ""));
    expect(types).toEqual([ErrorInfoSchema.typeName, BadRequestSchema.typeName, RetryInfoSchema.typeName]);
    expect(message).toMatch(/^(長い)+長?…$/);
  });

  test("the tests notice when nothing is bounded", async () => {
    const mutant = await importMutant<{ startProbeServer: Start }>(
      join(import.meta.dir, "bound-error.ts"),
      "if (isSmall(error)) return error;",
      "if (error.code > 0) return error;",
      [join(import.meta.dir, "../testdata/start-probe-server.ts")],
    );
    await caught(() => expectBound(mutant.startProbeServer, ...longErrors[6]!));
  });
});

describe.each(Object.keys(lanes))("%s", (name) => {
  test.each([
    [50, 41],
    [1000, 991],
  ])("%p wrong words are told by the first ten violations and how many more there are", async (count, more) => {
    await using server = await startProbeServer();
    using lane = lanes[name]!(server);
    const words = Array.from({ length: count }, () => "longer");
    const outcome = await lane.call({ request: { name: "a", words }, credentials: "good" });
    expect(outcome).toMatchObject({ code: "invalid_argument", reason: "FIELD_INVALID" });
    expect(outcome.message).toEndWith(`; and ${more} more`);
    expect(outcome.message).toStartWith("words: ");
    expect(outcome.violations).toEqual(["words", ...Array.from({ length: 9 }, (_, index) => `words[${index}]`), ""]);
  });
});
