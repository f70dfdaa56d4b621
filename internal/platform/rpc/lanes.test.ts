import {
  create,
  createRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type JsonObject,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Client, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { codeFromString, codeToString } from "@connectrpc/connect/protocol-connect";
import type { FileSink } from "bun";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "bun:test";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../gen/google/rpc/status_pb.ts";
import type { Served } from "../app/define-service.ts";
import { createInProcessTransport } from "./in-process.ts";
import type { RpcServerOptions } from "./server.ts";
import { PartSchema, ProbeResponseSchema, ProbeRequestSchema, ProbeService } from "./testdata/probe_pb.ts";
import { createProbeService, probeAuthenticator, recordingLog, recordingObserver } from "./testdata/probe-service.ts";
import { startProbeServer, type ProbeServer } from "./testdata/start-probe-server.ts";

const registry = createRegistry(PartSchema);
let server: ProbeServer;
let served: readonly Served[];
beforeAll(async () => {
  server = await startProbeServer();
  served = [createProbeService(server.events)];
});
afterAll(() => server.stop());
beforeEach(() => {
  server.ended.length = 0;
  server.lines.length = 0;
});

type Method = "fast" | "slow" | "lawless";
/** A call as a case describes it. */
interface Call {
  readonly request?: MessageInitShape<typeof ProbeRequestSchema>;
  readonly credentials?: string | undefined;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
  readonly method?: "lawless";
}
/** What the caller learns, in a form that is the same for all lanes. */
interface Outcome {
  readonly code: string;
  readonly message?: string;
  readonly reason?: string | undefined;
  readonly metadata?: JsonObject;
  readonly violations?: readonly string[];
  readonly retryAfterMs?: number;
  readonly reply?: unknown;
  readonly header?: string | null;
  readonly trailer?: string | null;
}
type Lane = (call: Call) => Promise<Outcome>;

function headersOf(call: Call): Record<string, string> {
  return {
    ...(call.credentials === undefined ? {} : { authorization: `Bearer ${call.credentials}` }),
    ...call.headers,
  };
}

function outcomeOfError(error: ConnectError): Outcome {
  const info = error.findDetails(ErrorInfoSchema)[0];
  const violations = error.findDetails(BadRequestSchema).flatMap((each) => each.fieldViolations.map((v) => v.field));
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay;
  return {
    code: codeToString(error.code),
    message: error.rawMessage,
    reason: info?.domain === "muin" ? info.reason : undefined,
    ...(info === undefined || Object.keys(info.metadata).length === 0 ? {} : { metadata: info.metadata }),
    ...(violations.length === 0 ? {} : { violations }),
    ...(delay === undefined ? {} : { retryAfterMs: Number(delay.seconds) * 1000 + delay.nanos / 1e6 }),
  };
}

/** A lane that a client of the library speaks. */
function byClient(method: Method, transport: () => Transport): Lane {
  let client: Client<typeof ProbeService> | undefined;
  return async (call) => {
    client ??= createClient(ProbeService, transport());
    let header: string | null = null;
    let trailer: string | null = null;
    try {
      const reply = await client[call.method ?? method](call.request ?? { name: "a" }, {
        headers: headersOf(call),
        // The client would end the call itself at its deadline, so the header goes alone.
        onHeader: (headers) => (header = headers.get("x-probe")),
        onTrailer: (trailers) => (trailer = trailers.get("x-tail")),
      });
      return { code: "ok", reply: toJson(ProbeResponseSchema, reply, { registry }), header, trailer };
    } catch (error) {
      return outcomeOfError(ConnectError.from(error));
    }
  };
}

const rest: Lane = async (call) => {
  const { name = "a", ...body } = call.request ?? {};
  const path = call.method === "lawless" ? "lawless-probes" : "probes";
  const response = await fetch(`${server.addresses.http}/api/v1/${path}/${name}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...headersOf(call) },
    body: JSON.stringify(body, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
  });
  const json = (await response.json()) as JsonObject;
  if (response.ok) {
    const reply = toJson(ProbeResponseSchema, fromJson(ProbeResponseSchema, json, { registry }), { registry });
    return {
      code: "ok",
      reply,
      header: response.headers.get("x-probe"),
      trailer: response.headers.get("trailer-x-tail"),
    };
  }
  const { error } = json as { error: { code: number; status: string; message: string; details: JsonObject[] } };
  expect(error.code).toBe(response.status);
  const made = new ConnectError(error.message, codeFromString(error.status.toLowerCase()));
  for (const { "@type": type, ...detail } of error.details) {
    const schema = [ErrorInfoSchema, BadRequestSchema, RetryInfoSchema].find(
      (each) => type === `type.googleapis.com/${each.typeName}`,
    )!;
    made.details.push({ desc: schema, value: create(schema, fromJson(schema, detail)) });
  }
  return outcomeOfError(made);
};

/** The in-process lane: a transport per caller, because there the caller is not claimed but given. */
const inProcess: Lane = async (call) => {
  const authorization = headersOf(call)["authorization"] ?? null;
  try {
    const caller =
      authorization === null
        ? ({ kind: "anonymous", principal: "anonymous" } as const)
        : await probeAuthenticator.authenticate(authorization);
    return await byClient("fast", () =>
      createInProcessTransport(served, {
        caller,
        observer: recordingObserver(server.ended),
        log: recordingLog(server.lines),
      }),
    )(call);
  } catch (error) {
    const { reason, message, code } = error as { reason: string; message: string; code: string };
    return { code, message, reason };
  }
};

/** The foreign client's process and what it has answered that nobody has read yet. */
let foreignClient: { stdin: FileSink; answers: AsyncIterator<string>; kill(): void } | undefined;
afterAll(() => foreignClient?.kill());

async function foreign(call: Call): Promise<Outcome> {
  if (foreignClient === undefined) {
    const child = Bun.spawn([node!, join(import.meta.dir, "testdata/foreign-client.mjs"), server.addresses.grpc], {
      stdio: ["pipe", "pipe", "inherit"],
    });
    const answers = createInterface({ input: Readable.fromWeb(child.stdout as never) })[Symbol.asyncIterator]();
    foreignClient = { stdin: child.stdin, answers, kill: () => child.kill() };
  }
  const request = create(ProbeRequestSchema, call.request ?? { name: "a" });
  const body = Buffer.from(toBinary(ProbeRequestSchema, request)).toString("base64");
  const path = `/muin.probe.v1.ProbeService/${call.method === "lawless" ? "Lawless" : "Slow"}`;
  void foreignClient.stdin.write(`${JSON.stringify({ path, headers: headersOf(call), body })}\n`);
  await foreignClient.stdin.flush();
  const answer = JSON.parse((await foreignClient.answers.next()).value as string) as {
    code: number;
    status?: string;
    body?: string;
    header: string | null;
    trailer: string | null;
  };
  if (answer.body !== undefined) {
    const reply = fromBinary(ProbeResponseSchema, Buffer.from(answer.body, "base64"));
    const { header, trailer } = answer;
    return { code: "ok", reply: toJson(ProbeResponseSchema, reply, { registry }), header, trailer };
  }
  const status = fromBinary(StatusSchema, Buffer.from(answer.status!, "base64"));
  expect(status.code).toBe(answer.code);
  const code = Object.values(Code).find((each) => Number(each) === status.code);
  const error = new ConnectError(status.message, code as Code);
  for (const { typeUrl, value } of status.details) error.details.push({ type: typeUrl.split("/")[1]!, value });
  return outcomeOfError(error);
}

const connect = (options: Partial<Parameters<typeof createConnectTransport>[0]>) => () =>
  createConnectTransport({
    baseUrl: server.addresses.http,
    httpVersion: "1.1",
    jsonOptions: { registry },
    ...options,
  } as Parameters<typeof createConnectTransport>[0]);

const lanes: [name: string, lane: Lane][] = [
  ["Connect binary, fast", byClient("fast", connect({}))],
  ["Connect JSON, fast", byClient("fast", connect({ useBinaryFormat: false }))],
  ["Connect binary over HTTP/2, fast", byClient("fast", connect({ httpVersion: "2" }))],
  ["Connect binary, generic", byClient("slow", connect({}))],
  ["Connect JSON, generic", byClient("slow", connect({ useBinaryFormat: false }))],
  [
    "Connect gzip to a hot method",
    byClient("fast", connect({ sendCompression: compressionGzip, compressMinBytes: 0 })),
  ],
  ["gRPC-Web", byClient("slow", () => createGrpcWebTransport({ baseUrl: server.addresses.http, httpVersion: "1.1" }))],
  ["gRPC", byClient("slow", () => createGrpcTransport({ baseUrl: `http://${server.addresses.grpc}` }))],
  ["REST", rest],
  ["in process", inProcess],
];

const node = Bun.which("node");
if (node === null) {
  if (process.env["CI"] !== undefined) throw new Error("there is no node on PATH for the foreign gRPC client");
  console.log("gRPC from Node: skipped: there is no node on PATH");
} else {
  lanes.push(["gRPC from @grpc/grpc-js under Node", foreign]);
}

const timeoutHeaders = { "connect-timeout-ms": "60", "grpc-timeout": "60m" };
const cases: readonly [name: string, call: Call, outcome: Outcome][] = [
  [
    "a call that may be made",
    { credentials: "good", request: { name: "abc", amount: 5n } },
    { code: "ok", reply: { name: "abc", amount: "5", principal: "api_key:k1" }, header: null, trailer: null },
  ],
  [
    "a service, admitted by kind",
    { credentials: "service" },
    { code: "ok", reply: { name: "a", amount: "1", principal: "service:count-write" }, header: null, trailer: null },
  ],
  [
    "a caller who is known only later",
    { credentials: "later-good" },
    { code: "ok", reply: { name: "a", amount: "1", principal: "api_key:k1" }, header: null, trailer: null },
  ],
  [
    "headers and trailers",
    { credentials: "good", request: { name: "a", act: "header" } },
    { code: "ok", reply: { name: "a", amount: "1", principal: "api_key:k1" }, header: "1", trailer: "2" },
  ],
  [
    "an Any in the reply",
    { credentials: "good", request: { name: "a", act: "any" } },
    {
      code: "ok",
      reply: {
        name: "a",
        amount: "1",
        principal: "api_key:k1",
        any: { "@type": "type.googleapis.com/muin.probe.v1.Part", text: "packed" },
      },
      header: null,
      trailer: null,
    },
  ],
  [
    "no credentials",
    {},
    {
      code: "unauthenticated",
      message: "send credentials in the header Authorization: Bearer <API key or access token>",
      reason: "CREDENTIALS_MISSING",
    },
  ],
  [
    "bad credentials",
    { credentials: "forged" },
    { code: "unauthenticated", message: "these credentials are not valid", reason: "CREDENTIALS_INVALID" },
  ],
  [
    "the wrong scope, with an invalid request",
    { credentials: "scopeless", request: { name: "INVALID" } },
    {
      code: "permission_denied",
      message: "the caller lacks the scope probe.use",
      reason: "SCOPE_MISSING",
      metadata: { scope: "probe.use" },
    },
  ],
  [
    "the wrong kind of caller",
    { credentials: "person" },
    {
      code: "permission_denied",
      message: "this kind of caller may not call this method",
      reason: "CALLER_KIND",
      metadata: { kind: "person" },
    },
  ],
  [
    "a method without policy",
    { credentials: "good", method: "lawless" },
    {
      code: "permission_denied",
      message: "this method has no policy, so nobody may call it",
      reason: "POLICY_MISSING",
    },
  ],
  [
    "an invalid request",
    { credentials: "good", request: { name: "Abc", amount: -10n, words: ["long word"] } },
    {
      code: "invalid_argument",
      message:
        "name: does not match regex pattern `^[a-z]+$`; amount: must be greater than or equal to -9 and less than or equal to 9007199254740991; words[0]: must be at most 4 characters",
      reason: "VALIDATION",
      violations: ["name", "amount", "words[0]"],
    },
  ],
  [
    "Idempotency-Key as request_id",
    { credentials: "good", headers: { "idempotency-key": "12345678" } },
    {
      code: "ok",
      reply: { name: "a", amount: "1", requestId: "12345678", principal: "api_key:k1" },
      header: null,
      trailer: null,
    },
  ],
  [
    "an invalid Idempotency-Key",
    { credentials: "good", headers: { "idempotency-key": "short" } },
    {
      code: "invalid_argument",
      message: "request_id: must be at least 8 characters",
      reason: "VALIDATION",
      violations: ["request_id"],
    },
  ],
  [
    "an Idempotency-Key that differs from request_id",
    {
      credentials: "good",
      headers: { "idempotency-key": "12345678" },
      request: { name: "a", requestId: "87654321" },
    },
    {
      code: "invalid_argument",
      message: "the header Idempotency-Key and the field request_id must be the same, or one of them absent",
      reason: "IDEMPOTENCY_KEY_DIFFERS",
      violations: ["request_id"],
    },
  ],
  [
    "an error of the domain",
    { credentials: "good", request: { name: "abc", act: "muin" } },
    {
      code: "not_found",
      message: "there is no such probe",
      reason: "PROBE_NOT_FOUND",
      metadata: { name: "abc" },
      retryAfterMs: 1500,
    },
  ],
  [
    "a handler that throws",
    { credentials: "good", request: { name: "a", act: "throw" } },
    { code: "internal", message: "internal error", reason: "INTERNAL" },
  ],
  [
    "a handler that rejects",
    { credentials: "good", request: { name: "a", act: "reject" } },
    { code: "internal", message: "internal error", reason: "INTERNAL" },
  ],
  [
    "an error of a downstream call",
    { credentials: "good", request: { name: "a", act: "downstream" } },
    { code: "aborted", message: "downstream says no", reason: "ABORTED" },
  ],
];

describe.each(lanes)("%s", (name, lane) => {
  test.each(cases)("%s", async (_, call, outcome) => {
    expect(await lane(call)).toEqual(outcome);
  });

  test("a handler that ignores its deadline is answered for", async () => {
    if (name === "in process") return; // Its deadline is the client's own: shown in in-process.test.ts.
    const outcome = await lane({ credentials: "good", request: { name: "a", act: "hang" }, headers: timeoutHeaders });
    expect(outcome).toEqual({
      code: "deadline_exceeded",
      message: "the operation timed out",
      reason: "DEADLINE_EXCEEDED",
    });
  });

  test("what the caller is not told is logged, and each call ends once with its code", async () => {
    await lane({ credentials: "good", request: { name: "a", act: "throw" } });
    await lane({ credentials: "good" });
    expect(server.lines).toHaveLength(1);
    expect((server.lines[0]!.fields as { err: Error }).err.message).toBe("secret text");
    expect(server.ended.map((line) => line.split(" ").at(-1))).toEqual(["internal", "ok"]);
  });
});

/** The cases that a server with these options fails. */
async function failures(options: Partial<RpcServerOptions>): Promise<string[]> {
  await using broken = await startProbeServer(options);
  const lane = byClient("fast", () => createConnectTransport({ baseUrl: broken.addresses.http, httpVersion: "1.1" }));
  const failed: string[] = [];
  for (const [name, call, outcome] of cases) {
    // The lane's client has no types for an Any, which is shown above.
    if (call.request?.act !== "any" && !Bun.deepEquals(await lane(call), outcome)) failed.push(name);
  }
  return failed;
}

describe("the table notices", () => {
  test("nothing when nothing is broken", async () => {
    expect(await failures({})).toEqual([]);
  });

  test("errors without reasons", async () => {
    expect(await failures({ errorInfoDomain: null })).toContain("the wrong kind of caller");
  });

  test("credentials that are believed unseen", async () => {
    const scopes = new Set(["probe.use"]);
    const believe = { authenticate: () => ({ kind: "api_key", id: "k1", principal: "api_key:k1", scopes }) as const };
    expect(await failures({ authenticator: believe })).toEqual(
      expect.arrayContaining([
        "bad credentials",
        "the wrong scope, with an invalid request",
        "the wrong kind of caller",
      ]),
    );
  });
});
