import { create, toBinary, type MessageInitShape } from "@bufbuild/protobuf";
import { WireType } from "@bufbuild/protobuf/wire";
import { ConnectError, createClient, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { connect } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { importMutant } from "../../testing/mutant.ts";
import { LookRequestSchema, ProbeRequestSchema, ProbeService } from "../testdata/probe_pb.ts";
import { good, path } from "../testdata/raw-bodies.ts";
import * as real from "../testdata/start-probe-server.ts";
import type { ProbeServer } from "../testdata/start-probe-server.ts";

setDefaultTimeout(30_000);

/** A detail of an error in JSON; Connect has it in a field of its own. */
interface Detail {
  readonly reason?: string;
  readonly fieldViolations?: readonly { readonly field: string }[];
  readonly debug?: Detail;
}

/** What a caller learns of an error, in any lane: its code, its reason and the fields. */
function told(code: string, details: readonly Detail[] = []): string {
  const each = details.map((detail) => detail.debug ?? detail);
  const fields = each.flatMap(({ fieldViolations = [] }) => fieldViolations.map(({ field }) => field));
  return [code, each.find(({ reason }) => reason !== undefined)?.reason, ...fields].join(" ");
}

async function toldByHttp(response: Response): Promise<string> {
  const body = (await response.json()) as {
    readonly code?: string;
    readonly details?: readonly Detail[];
    readonly error?: { readonly status: string; readonly details: readonly Detail[] };
  };
  if (response.ok) return `ok ${JSON.stringify(body)}`;
  return body.error === undefined
    ? told(body.code ?? "", body.details)
    : told(body.error.status.toLowerCase(), body.error.details);
}

type Way = (server: ProbeServer) => Promise<string>;

/** Connect, by hand: a text is JSON, bytes are a message. */
function post(method: string, body: string | Uint8Array<ArrayBuffer>, type?: "application/json"): Way {
  const contentType = type ?? (typeof body === "string" ? "application/json" : "application/proto");
  return async ({ addresses }) =>
    toldByHttp(
      await fetch(`${addresses.http}${path}/${method}`, {
        method: "POST",
        headers: { ...good, "content-type": contentType },
        body,
      }),
    );
}

function get(target: string, body?: string | Uint8Array<ArrayBuffer>): Way {
  return async ({ addresses }) =>
    toldByHttp(
      await fetch(`${addresses.http}${target}`, {
        headers: { ...good, "content-type": "application/json" },
        ...(body === undefined ? {} : { method: "POST", body }),
      }),
    );
}

/** A GET whose target has these bytes, each written as a Latin-1 character. */
function raw8(target: string, version = "HTTP/1.1\r\nHost: a"): Way {
  return ({ addresses }) =>
    new Promise((resolve, reject) => {
      const { hostname, port } = new URL(addresses.http);
      let answer = "";
      const socket = connect(Number(port), hostname, () =>
        socket.write(Buffer.from(`GET ${target} ${version}\r\nConnection: close\r\n\r\n`, "latin1")),
      );
      socket.on("data", (chunk) => (answer += chunk.toString()));
      socket.on("error", reject);
      socket.on("close", () => {
        const [head = "", body] = answer.split("\r\n\r\n");
        resolve(toldByHttp(new Response(body ?? "", { status: Number(head.split(" ")[1]) })));
      });
    });
}

function byClient(
  transportOf: (server: ProbeServer) => Transport,
  request: MessageInitShape<typeof ProbeRequestSchema>,
  method: "slow" | "collect" | "stream" = "slow",
): Way {
  return async (server) => {
    const client = createClient(ProbeService, transportOf(server));
    const requests = (async function* () {
      yield request;
    })();
    try {
      const options = { headers: good };
      if (method === "collect") await client.collect(requests, options);
      else if (method === "slow") await client.slow(request, options);
      else for await (const _ of client.stream(request, options)) continue;
      return "ok";
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      const fields = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations.map((v) => v.field));
      return [codeToString(error.code), error.findDetails(ErrorInfoSchema)[0]?.reason, ...fields].join(" ");
    }
  };
}

/** A gRPC call whose message is these bytes: the library's client would send no such text. */
function raw(transportOf: (server: ProbeServer) => Transport, bytes: Uint8Array): Way {
  const request = create(ProbeRequestSchema);
  request.$unknown = [{ no: 1, wireType: WireType.LengthDelimited, data: bytes }];
  return byClient(transportOf, request);
}

const grpc = ({ addresses }: ProbeServer) => createGrpcTransport({ baseUrl: `http://${addresses.grpc}` });
const grpcWeb = ({ addresses }: ProbeServer) => createGrpcWebTransport({ baseUrl: addresses.http, httpVersion: "1.1" });
const connectStreams = ({ addresses }: ProbeServer) =>
  createConnectTransport({ baseUrl: addresses.http, httpVersion: "2" });
const local = (server: ProbeServer) =>
  server.inProcess({ kind: "api_key", id: "k1", principal: "api_key:k1", scopes: new Set(["probe.use"]) });

const half = Uint8Array.of(0xed, 0xa0, 0x80);
/** A field 1 that is no UTF-8. */
const halfName = Uint8Array.of(0x0a, 3, ...half);
const inBytes = (before: string, after: string) =>
  Uint8Array.from(Buffer.concat([Buffer.from(before), half, Buffer.from(after)]));
const look = (query: string) => `/api/v1/looks:all?${query}`;
const getJson = (message: string) => `${path}/Look?connect=v1&encoding=json&message=${message}`;
const nulMessage = Buffer.from(toBinary(LookRequestSchema, create(LookRequestSchema, { name: "\0" }))).toString(
  "base64url",
);

const field = (name: string): string => `invalid_argument FIELD_INVALID ${name}`;
const malformed = "invalid_argument REQUEST_MALFORMED";

const refused: Readonly<Record<string, readonly [way: Way, answer: string]>> = {
  "Connect JSON, fast: NUL": [post("Fast", '{"name":"a","words":["\\u0000"]}'), field("words[0]")],
  "Connect JSON, fast: half a pair": [post("Fast", '{"name":"a","requestId":"abcdefgh\\uDFFF"}'), field("request_id")],
  "Connect JSON, fast: no UTF-8": [
    post("Fast", inBytes('{"name":"a","words":["', '"]}'), "application/json"),
    malformed,
  ],
  "Connect JSON, generic: NUL": [post("Slow", '{"name":"a","words":["\\u0000"]}'), field("words[0]")],
  "Connect JSON, generic: half a pair": [
    post("Slow", '{"name":"a","words":["\\ud83d\\ude00","\\ud83dx"]}'),
    field("words[1]"),
  ],
  "Connect JSON, generic: two halves in the wrong order": [
    post("Slow", '{"words":["\\ude00\\ud83d"]}'),
    field("words[0]"),
  ],
  "Connect JSON, generic: half a pair after a backslash": [
    post("Slow", '{"words":["\\\\\\ud83d"]}'),
    field("words[0]"),
  ],
  "Connect JSON, generic: no UTF-8": [post("Slow", inBytes('{"name":"', '"}'), "application/json"), malformed],
  "Connect JSON: half a pair in a Struct": [post("Look", '{"extra":{"a":{"b":"\\ud800"}}}'), field('extra["a"]["b"]')],
  "Connect JSON: half a pair as a key": [post("Look", '{"labels":{"\\ud800":"v"}}'), field('labels["\\u0000"] (key)')],
  "Connect JSON: NUL in an Any": [
    post("Look", '{"any":{"@type":"type.googleapis.com/muin.probe.v1.Nested","name":"\\u0000"}}'),
    field("any.name"),
  ],
  "Connect binary, fast: no UTF-8": [post("Fast", halfName), malformed],
  "Connect binary, fast: NUL": [post("Fast", Uint8Array.of(0x0a, 1, 0)), field("name")],
  "Connect binary, generic: no UTF-8": [post("Slow", halfName), malformed],
  "Connect GET: NUL": [get(getJson(encodeURIComponent('{"name":"\\u0000"}'))), field("name")],
  "Connect GET: half a pair": [get(getJson(encodeURIComponent('{"name":"\\ud800"}'))), field("name")],
  "Connect GET: no UTF-8": [get(getJson("%7B%22name%22%3A%22%ED%A0%80%22%7D")), malformed],
  "Connect GET, base64: NUL": [
    get(`${path}/Look?connect=v1&encoding=proto&base64=1&message=${nulMessage}`),
    field("name"),
  ],
  "Connect stream: NUL": [byClient(connectStreams, { name: "a", words: ["a", "\0"] }, "collect"), field("words[1]")],
  "gRPC: NUL": [byClient(grpc, { name: "a", words: ["\0"] }), field("words[0]")],
  "gRPC: no UTF-8": [raw(grpc, Uint8Array.of(3, ...half)), malformed],
  "gRPC stream: NUL": [byClient(grpc, { name: "a", requestId: "\0" }, "collect"), field("request_id")],
  "gRPC-Web: NUL": [byClient(grpcWeb, { name: "a", words: ["\0"] }), field("words[0]")],
  "gRPC-Web: no UTF-8": [raw(grpcWeb, Uint8Array.of(3, ...half)), malformed],
  "in process: NUL": [byClient(local, { name: "a", words: ["\0"] }), field("words[0]")],
  "in process: half a pair": [byClient(local, { name: "a", words: ["\ud800"] }), field("words[0]")],
  "in process, a stream of requests: half a pair": [byClient(local, { name: "\ud800" }, "collect"), field("name")],
  "in process, a stream of replies: half a pair": [byClient(local, { name: "\ud800" }, "stream"), field("name")],
  "REST path: NUL": [get("/api/v1/looks/%00"), field("name")],
  "REST path: half a pair": [get("/api/v1/looks/a%ED%A0%80"), field("name")],
  "REST path: no UTF-8": [get("/api/v1/rest/a/%FF%FE/c"), field("name")],
  "REST path, a field of a field": [get("/api/v1/deep/shelves/%C0/books/b"), field("nested.name")],
  "REST query: NUL": [get(look("name=%00")), field("name")],
  "REST query: half a pair": [get(look("tags=a&tags=%ED%A0%80")), field("tags[1]")],
  "REST query, a field of a field: no UTF-8": [get(look("nested.nested.name=%FF")), field("nested.nested.name")],
  "REST query: a per cent sign by itself": [get(look("name=100%")), malformed],
  "REST path: bytes as they are, no UTF-8": [raw8("/api/v1/looks/a\xff"), field("name")],
  "REST path: such bytes, HTTP/1.0": [raw8("/api/v1/looks/a\xff", "HTTP/1.0"), field("name")],
  "REST query: bytes as they are, no UTF-8": [raw8(look("tags=a&tags=\xed\xa0\x80")), field("tags[1]")],
  "REST query: such bytes, HTTP/1.0": [raw8(look("tags=a&tags=\xff"), "HTTP/1.0"), field("tags[1]")],
  "REST query: what stands for such bytes": [get(look("name=a%EF%BF%bd")), field("name")],
  "REST query: half an escape": [get(look("tags=a&tags=%F")), malformed],
  "REST query: an escape in a name": [get(look("na%ZZme=a")), malformed],
  "REST query, a mask: NUL": [get(look("mask=a,%00")), field("mask.paths[1]")],
  "REST body: NUL": [get("/api/v1/looks:whole", '{"labels":{"k":"\\u0000"}}'), field('labels["k"]')],
  "REST body: half a pair": [get("/api/v1/looks/a/nested", '{"name":"\\ud800"}'), field("nested.name")],
  "REST body, a mask: half a pair": [get("/api/v1/looks:whole", '{"mask":"a,\\ud800"}'), field("mask.paths[1]")],
  "REST body: no UTF-8": [get("/api/v1/looks:whole", inBytes('{"name":"', '"}')), malformed],
};

const taken: Readonly<Record<string, readonly [way: Way, part: string]>> = {
  "Connect JSON, fast: a pair": [post("Fast", '{"name":"a","words":["\\ud83d\\uDE00"]}'), '"name":"a"'],
  "Connect JSON: a pair, in upper case": [post("Look", '{"name":"\\uD83D\\uDE00"}'), '"name":"😀"'],
  "Connect JSON: no escape, but its letters": [post("Look", '{"name":"\\\\ud800"}'), '"name":"\\\\ud800"'],
  "Connect JSON: an escape beside a pair": [post("Look", '{"name":"\\n\\ud83d\\ude00\\\\"}'), '"name":"\\n😀\\\\"'],
  "Connect JSON: Hangul, U+FFFF and what decoders put for no UTF-8": [
    post("Look", '{"name":"한글\\uffff\uffff\ufffd"}'),
    '"name":"한글\uffff\uffff\ufffd"',
  ],
  "Connect JSON: bytes": [post("Look", '{"raw":"AO2ggP8="}'), '"raw":"AO2ggP8="'],
  "Connect GET: text": [get(getJson(encodeURIComponent('{"name":"😀 100%"}'))), '"name":"😀 100%"'],
  "REST path: text": [get("/api/v1/looks/%F0%9F%98%80%ED%95%9C"), '"name":"😀한"'],
  "REST query: text": [get(look("name=%F0%9F%98%80+%EF%BF%BF")), '"name":"😀 \uffff"'],
  "REST query: a per cent sign": [get(look("name=100%25")), '"name":"100%"'],
  "REST body: text": [get("/api/v1/looks:whole", '{"name":"\\ud83d\\ude00한글"}'), '"name":"😀한글"'],
};

let server: ProbeServer;
beforeAll(async () => {
  server = await real.startProbeServer();
});
afterAll(() => server.stop());

describe("refused", () => {
  test.each(Object.entries(refused))("%s", async (_, [way, answer]) => {
    expect(await way(server)).toBe(answer);
  });
});

describe("taken as it is", () => {
  test.each(Object.entries(taken))("%s", async (_, [way, part]) => {
    const answer = await way(server);
    expect(answer).toStartWith("ok ");
    expect(answer).toContain(part);
  });
});

test("a header cannot carry NUL: not one that a request id comes in, nor any other", async () => {
  const { hostname, port } = new URL(server.addresses.http);
  const head = `POST ${path}/Fast HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 0\r\nidempotency-key: abc\0defgh\r\n\r\n`;
  const answer = await new Promise<string>((resolve, reject) => {
    let text = "";
    const socket = connect(Number(port), hostname, () => socket.write(head));
    socket.on("data", (chunk) => (text += chunk.toString()));
    socket.on("error", reject);
    socket.on("close", () => resolve(text));
  });
  expect(answer).toStartWith("HTTP/1.1 400 ");
});

describe("mutants", () => {
  const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");
  test.each<[what: string, file: string, from: string, to: string, noticed: readonly string[]]>([
    [
      "the check of text",
      "validate.ts",
      "checkText(message);",
      "",
      ["gRPC: NUL", "REST query: NUL", "in process: NUL"],
    ],
    [
      "the check before a copy",
      "../local/read-request.ts",
      "if (message !== undefined) plan.checkText(message);",
      "",
      ["in process: half a pair", "in process, a stream of requests: half a pair"],
    ],
    [
      "strict UTF-8",
      "wire-text.ts",
      '"utf-8", { fatal: true }',
      '"utf-8"',
      ["Connect JSON, generic: no UTF-8", "REST body: no UTF-8"],
    ],
    [
      "halves of pairs",
      "wire-text.ts",
      'half === undefined ? escape : "\\\\u0000"',
      "escape",
      ["Connect JSON, fast: half a pair", "Connect JSON, generic: half a pair", "Connect GET: half a pair"],
    ],
    [
      "NUL for what is percent-encoded and no UTF-8",
      "wire-text.ts",
      'return "%00";',
      "return run;",
      ["REST path: half a pair", "REST query: half a pair", "Connect GET: no UTF-8"],
    ],
    [
      "NUL for what Bun has replaced",
      "wire-text.ts",
      'encoded.replace(replaced, "%00")',
      "encoded",
      ["REST path: bytes as they are, no UTF-8", "REST query: such bytes, HTTP/1.0"],
    ],
    [
      "the fast path's decoder",
      "../connect/fast-path.ts",
      "{ registry, textDecoder: createJsonDecoder(plan.method.input) }",
      "{ registry }",
      ["Connect JSON, fast: half a pair", "Connect JSON, fast: no UTF-8"],
    ],
    [
      "the library's decoder",
      "../universal/lane.ts",
      "{ registry, textDecoder: createJsonDecoder(input) }",
      "{ registry }",
      ["Connect JSON, generic: half a pair", "Connect JSON, generic: no UTF-8"],
    ],
    [
      "the query of GET",
      "../universal/lane.ts",
      'method === "GET" ? readableUrl(url) : url',
      "url",
      ["Connect GET: no UTF-8"],
    ],
    ["the query of REST", "../rest/query.ts", "percentText(query)", "query", ["REST query: half a pair"]],
    ["the path of REST", "../rest/router.ts", "percentText(segment)", "segment", ["REST path: half a pair"]],
    [
      "the body of REST",
      "../rest/read-request.ts",
      "json.decode(body)",
      "new TextDecoder().decode(body)",
      ["REST body: half a pair", "REST body: no UTF-8"],
    ],
  ])("without %s", async (_, file, from, to, noticed) => {
    const { startProbeServer } = await importMutant<typeof real>(join(import.meta.dir, file), from, to, [entry]);
    await using mutant = await startProbeServer();
    const missed: string[] = [];
    for (const [name, [way, answer]] of Object.entries(refused))
      if ((await way(mutant).catch(String)) !== answer) missed.push(name);
    expect(missed).toEqual(expect.arrayContaining([...noticed]));
  });

  test.each<[what: string, from: string, to: string, noticed: string]>([
    ["pairs", "u[dD][89abAB][\\da-fA-F]{2}\\\\u[dD][c-fC-F][\\da-fA-F]{2}|", "", "Connect JSON: a pair, in upper case"],
    ["other escapes", "|[^])/g", ")/g", "Connect JSON: no escape, but its letters"],
    ["whole runs", "/(?:%[\\da-fA-F]{2})+/g", "/%[\\da-fA-F]{2}/g", "REST path: text"],
  ])("that knows no %s", async (_, from, to, noticed) => {
    const { startProbeServer } = await importMutant<typeof real>(join(import.meta.dir, "wire-text.ts"), from, to, [
      entry,
    ]);
    await using mutant = await startProbeServer();
    const [way, part] = taken[noticed]!;
    expect(await way(mutant)).not.toContain(part);
  });
});
