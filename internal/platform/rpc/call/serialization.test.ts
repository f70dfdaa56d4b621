import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { BadRequestSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { codecFor } from "../../service/codec.ts";
import { importMutant } from "../../testing/mutant.ts";
import { ProbeRequestSchema, ProbeResponseSchema, ProbeService } from "../testdata/probe_pb.ts";
import { createProbeService } from "../testdata/probe-service.ts";
import { good } from "../testdata/raw-bodies.ts";
import * as real from "../testdata/start-probe-server.ts";
import type { ProbeServer } from "../testdata/start-probe-server.ts";
import { planMethods } from "./plan.ts";

/** A request of this amount is left to the generated code. */
const left = 5n;
/** The codec's reply to a request of this amount is larger than may be written. */
const loud = 3n;

/** A codec that shows itself: it reads a name that breaks its rule, and writes the amount 7. */
const codec = codecFor(ProbeService.method.fast, {
  read: (body) => {
    const request = fromBinary(ProbeRequestSchema, body);
    return request.amount === left ? undefined : { ...request, name: "BY THE CODEC" };
  },
  write: ({ name = "", amount }) => {
    if (amount === left) return undefined;
    const principal = amount === loud ? "a".repeat(2000) : "";
    return toBinary(ProbeResponseSchema, create(ProbeResponseSchema, { name, amount: 7n, principal }));
  },
});

function start(startProbeServer = real.startProbeServer): Promise<ProbeServer> {
  const service = createProbeService({ released: 0, address: "", timeoutMs: undefined });
  return startProbeServer({
    served: [{ ...service, codecs: [codec] }],
    limits: { readBytesMax: 1000, writeBytesMax: 1000 },
  });
}

type Request = { readonly name: string; readonly amount?: bigint; readonly words?: string[] };
type Way = (server: ProbeServer) => Transport;

const ways: Readonly<Record<string, Way>> = {
  "Connect binary": ({ addresses }) => createConnectTransport({ baseUrl: addresses.http, httpVersion: "1.1" }),
  gRPC: ({ addresses }) => createGrpcTransport({ baseUrl: `http://${addresses.grpc}` }),
};
const connectJson: Way = ({ addresses }) =>
  createConnectTransport({ baseUrl: addresses.http, httpVersion: "1.1", useBinaryFormat: false });

/** Name and amount of the reply, or the error's code and the fields that it names. */
async function answerOf(server: ProbeServer, way: Way, request: Request, headers = {}): Promise<string> {
  try {
    const reply = await createClient(ProbeService, way(server)).fast(request, { headers: { ...good, ...headers } });
    return `${reply.name} ${reply.amount}`;
  } catch (thrown) {
    const error = ConnectError.from(thrown);
    const fields = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations.map((v) => v.field));
    return [codeToString(error.code), ...fields].join(" ");
  }
}

let server: ProbeServer;
beforeAll(async () => {
  server = await start();
});
afterAll(() => server.stop());

describe.each(Object.entries(ways))("over %s", (_, way) => {
  test("a codec reads and writes what it takes, and what it read is not validated again", async () => {
    expect(await answerOf(server, way, { name: "abc" })).toBe("BY THE CODEC 7");
  });

  test("the generated code reads and writes what it leaves", async () => {
    expect(await answerOf(server, way, { name: "abc", amount: left })).toBe("abc 5");
    expect(await answerOf(server, way, { name: "ABC", amount: left })).toBe("invalid_argument name");
  });

  test("a request that a header filled is validated all the same", async () => {
    const headers = { "idempotency-key": "12345678" };
    expect(await answerOf(server, way, { name: "abc" }, headers)).toBe("invalid_argument name");
  });

  test("a request that is too large is refused, and a reply left to the generated code", async () => {
    const words = ["a".repeat(1000)];
    expect(await answerOf(server, way, { name: "abc", words })).toBe("resource_exhausted");
    expect(await answerOf(server, way, { name: "abc", amount: loud })).toBe("BY THE CODEC 3");
  });
});

test("a codec has no part in JSON", async () => {
  expect(await answerOf(server, connectJson, { name: "abc" })).toBe("abc 1");
});

test("a codec of a method that is not hot is refused", () => {
  const service = createProbeService({ released: 0, address: "", timeoutMs: undefined });
  const slow = codecFor(ProbeService.method.slow, { read: () => undefined, write: () => undefined });
  expect(() => planMethods([{ ...service, codecs: [slow] }])).toThrow(
    "muin.probe.v1.ProbeService.Slow has a codec and is not hot",
  );
});

test("a codec's reply without a bound is noticed", async () => {
  const path = join(import.meta.dir, "serialization.ts");
  const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");
  const rule = "body.byteLength > writeMaxBytes";
  const { startProbeServer } = await importMutant<typeof real>(path, rule, "false", [entry]);
  await using mutant = await start(startProbeServer);
  expect(await answerOf(mutant, ways["Connect binary"]!, { name: "abc", amount: loud })).toBe("BY THE CODEC 7");
});
