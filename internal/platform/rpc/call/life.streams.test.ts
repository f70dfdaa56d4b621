import { ConnectError, createClient, type CallOptions, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport } from "@connectrpc/connect-node";
import { codeToString } from "@connectrpc/connect/protocol-connect";
import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { join } from "node:path";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { serve } from "../../service/parts.ts";
import { activeTrace, runInTrace } from "../../telemetry/active-trace.ts";
import { importMutant } from "../../testing/mutant.ts";
import { ProbeService, type ProbeRequest } from "../testdata/probe_pb.ts";
import { createProbeService, probeAuthenticator } from "../testdata/probe-service.ts";
import * as real from "../testdata/start-probe-server.ts";
import type { ProbeServer } from "../testdata/start-probe-server.ts";

setDefaultTimeout(20_000);

type Sent = Partial<Omit<ProbeRequest, "$typeName" | "$unknown">>;
type Method = "stream" | "collect" | "chat";

/** A call with streams, and what comes of it: the names in the replies, then "ok" or a code and its reason. */
type Case = readonly [
  name: string,
  method: Method,
  requests: readonly Sent[],
  options: { readonly credentials?: string; readonly timeoutMs?: number },
  outcome: readonly string[],
];

const good = { credentials: "good" };
const hangs = [{ name: "a", act: "hang" }];
const late = ["deadline_exceeded DEADLINE_EXCEEDED"];
const invalid = "invalid_argument FIELD_INVALID";

const cases: readonly Case[] = [
  ["replies", "stream", [{ name: "a", repeat: 1 }], good, ["a", "a", "ok"]],
  ["requests", "collect", [{ name: "a" }, { name: "b" }], good, ["b", "ok"]],
  ["both", "chat", [{ name: "a" }, { name: "b" }], good, ["a", "b", "ok"]],
  ["no credentials", "stream", [{ name: "a" }], {}, ["unauthenticated CREDENTIALS_MISSING"]],
  ["the wrong scope", "chat", [{ name: "a" }], { credentials: "scopeless" }, ["permission_denied SCOPE_MISSING"]],
  ["an invalid request", "stream", [{ name: "INVALID" }], good, [invalid]],
  ["an invalid request of several", "collect", [{ name: "a" }, { name: "INVALID" }], good, [invalid]],
  ["an invalid request after a reply", "chat", [{ name: "a" }, { name: "INVALID" }], good, ["a", invalid]],
  ["a handler that throws", "stream", [{ name: "a", act: "throw" }], good, ["internal INTERNAL"]],
  ["a handler that throws at last", "collect", [{ name: "a", act: "throw" }], good, ["internal INTERNAL"]],
  ["an error of the domain", "chat", [{ name: "a", act: "muin" }], good, ["not_found PROBE_NOT_FOUND"]],
  ["a stream that hangs", "stream", hangs, { ...good, timeoutMs: 60 }, late],
  ["a reply that hangs", "collect", hangs, { ...good, timeoutMs: 60 }, late],
];

/** A way to the server. Over the wire a deadline goes as a header alone: a client that knew it would end the call itself. */
type Way = (server: ProbeServer, credentials: string | undefined) => Promise<Transport>;
const inProcess: Way = async (server, credentials) =>
  server.inProcess(
    credentials === undefined
      ? { kind: "anonymous", principal: "anonymous" }
      : await probeAuthenticator.authenticate(`Bearer ${credentials}`),
  );
const ways: Readonly<Record<string, Way>> = {
  Connect: async ({ addresses }) => createConnectTransport({ baseUrl: addresses.http, httpVersion: "1.1" }),
  gRPC: async ({ addresses }) => createGrpcTransport({ baseUrl: `http://${addresses.grpc}` }),
  "in process": inProcess,
};

/** No answer takes as long, in milliseconds, but that of a mutant, which may give none. */
const answerMsMax = 1500;

async function* inTurn(requests: readonly Sent[]): AsyncIterable<Sent> {
  for (const request of requests) yield request;
}

async function* replies(transport: Transport, [, method, requests]: Case, options: CallOptions) {
  const client = createClient(ProbeService, transport);
  if (method === "stream") yield* client.stream(requests[0]!, options);
  else if (method === "chat") yield* client.chat(inTurn(requests), options);
  else yield await client.collect(inTurn(requests), options);
}

async function outcomeOf(server: ProbeServer, way: Way, call: Case): Promise<readonly string[]> {
  const { credentials, timeoutMs } = call[3];
  const headers = {
    ...(credentials === undefined ? {} : { authorization: `Bearer ${credentials}` }),
    ...(timeoutMs === undefined ? {} : { "connect-timeout-ms": `${timeoutMs}`, "grpc-timeout": `${timeoutMs}m` }),
  };
  const options = way === inProcess && timeoutMs !== undefined ? { headers, timeoutMs } : { headers };
  const found: string[] = [];
  const read = async (): Promise<void> => {
    try {
      for await (const { name } of replies(await way(server, credentials), call, options)) found.push(name);
      found.push("ok");
    } catch (thrown) {
      const error = ConnectError.from(thrown);
      found.push(`${codeToString(error.code)} ${error.findDetails(ErrorInfoSchema)[0]?.reason}`);
    }
  };
  await Promise.race([read(), Bun.sleep(answerMsMax).then(() => found.push("no answer"))]);
  return [...found];
}

/** The cases that end otherwise, and how. */
async function failures(start: typeof real.startProbeServer, way: Way) {
  await using server = await start();
  const failed: [name: string, found: readonly string[]][] = [];
  for (const call of cases) {
    const found = await outcomeOf(server, way, call);
    if (!Bun.deepEquals(found, call[4])) failed.push([call[0], found]);
  }
  return failed;
}

test.each(Object.entries(ways))("over %s, every case ends as the table says", async (_, way) => {
  expect(await failures(real.startProbeServer, way)).toEqual([]);
});

/** A rule switched off, the way on which that is tried, and the cases that notice it. */
type Broken = readonly [
  rule: string,
  file: string,
  from: string,
  to: string,
  way: "gRPC" | "in process",
  noticed: readonly string[],
];

const broken: readonly Broken[] = [
  [
    "the one request is validated",
    "life.ts",
    "if (isOne) accept(call, input as Message);",
    "",
    "gRPC",
    ["an invalid request"],
  ],
  [
    "each request is validated",
    "accept-request.ts",
    "if (result.done !== true) accept(call, result.value);",
    "",
    "gRPC",
    ["an invalid request of several", "an invalid request after a reply"],
  ],
  [
    "errors among the replies are mapped",
    "life.ts",
    "mapError: (error) => call.failure ?? fail(call, error),",
    "",
    "gRPC",
    ["an invalid request after a reply", "an error of the domain"],
  ],
  [
    "errors before the replies are mapped",
    "life.ts",
    "resolve(refuse(fail(call, thrown)));",
    "resolve(refuse(thrown as ConnectError));",
    "in process",
    [
      "no credentials",
      "the wrong scope",
      "an invalid request",
      "an invalid request of several",
      "a handler that throws at last",
    ],
  ],
  [
    "callers are admitted",
    "../local/lane.ts",
    "await life.admit(call);",
    "",
    "in process",
    ["no credentials", "the wrong scope"],
  ],
  ["a reply that hangs is answered for", "life.ts", "call.onCut = onCut;", "", "in process", ["a reply that hangs"]],
];

const entry = join(import.meta.dir, "../testdata/start-probe-server.ts");

describe("the table notices what is switched off", () => {
  test.each(broken)("%s (%s)", async (_, file, from, to, way, noticed) => {
    const { startProbeServer } = await importMutant<typeof real>(join(import.meta.dir, file), from, to, [entry]);
    const found = await failures(startProbeServer, ways[way]!);
    expect(found.map(([name]) => name)).toEqual([...noticed]);
  });
});

async function* spanTwice() {
  for (let reply = 0; reply < 2; reply += 1) yield { name: activeTrace()?.spanId ?? "none" };
}

/** What the body of a stream tells of the span that it runs in, before its first reply and after it. */
async function spansOf(start: typeof real.startProbeServer, way: Way): Promise<readonly string[]> {
  const trace = {
    traceId: "a".repeat(32),
    spanId: "b".repeat(16),
    traceparent: `00-${"a".repeat(32)}-${"b".repeat(16)}-01`,
  };
  const { service, impl } = createProbeService({ released: 0, address: "", timeoutMs: undefined });
  await using server = await start({
    served: [serve(service, { ...impl, stream: spanTwice as never })],
    observer: {
      begin: () => ({ ...trace, end: () => undefined, run: (work) => runInTrace(trace, work) }),
    },
  });
  return await outcomeOf(server, way, ["spans", "stream", [{ name: "a" }], good, []]);
}

test.each(Object.entries(ways))("over %s, the body of a stream belongs to its call's span", async (_, way) => {
  expect(await spansOf(real.startProbeServer, way)).toEqual(["b".repeat(16), "b".repeat(16), "ok"]);
  const mutant = await importMutant<typeof real>(
    join(import.meta.dir, "life.ts"),
    "within: (work) => call.span.run(work),",
    "",
    [entry],
  );
  expect(await spansOf(mutant.startProbeServer, way)).toEqual(["none", "none", "ok"]);
});
