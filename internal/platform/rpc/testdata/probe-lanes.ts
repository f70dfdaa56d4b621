import {
  create,
  createRegistry,
  fromBinary,
  fromJson,
  toBinary,
  toJson,
  type DescMessage,
  type JsonObject,
  type Message,
  type MessageInitShape,
} from "@bufbuild/protobuf";
import { Code, ConnectError, createClient, type Transport } from "@connectrpc/connect";
import {
  compressionGzip,
  createConnectTransport,
  createGrpcTransport,
  createGrpcWebTransport,
} from "@connectrpc/connect-node";
import { codeFromString, codeToString } from "@connectrpc/connect/protocol-connect";
import { createInterface } from "node:readline";
import { join } from "node:path";
import { Readable } from "node:stream";
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { StatusSchema } from "../../../gen/google/rpc/status_pb.ts";
import { PartSchema, ProbeService, type ProbeRequestSchema } from "./probe_pb.ts";
import { probeAuthenticator } from "./probe-service.ts";
import type { ProbeServer } from "./start-probe-server.ts";

/** A call, in a form that every lane can make. */
export interface ProbeCall {
  /** Default: one with the name "a". */
  readonly request?: MessageInitShape<typeof ProbeRequestSchema>;
  readonly credentials?: string;
  readonly headers?: Readonly<Record<string, string>>;
  /** The deadline that the caller names, in milliseconds. */
  readonly timeoutMs?: number;
  /** Default: the one that takes the lane, Fast or Slow. */
  readonly method?: "lawless" | "look";
}

/** What the caller learns, in a form that is the same for all lanes. */
export interface Outcome {
  readonly code: string;
  message?: string;
  readonly reason?: string | undefined;
  readonly metadata?: JsonObject;
  readonly violations?: readonly string[];
  readonly retryAfterMs?: number;
  readonly reply?: unknown;
  readonly header?: string | null;
  readonly trailer?: string | null;
}

/** A way to call a probe server. */
export interface Lane extends Disposable {
  call(call: ProbeCall): Promise<Outcome>;
}

const registry = createRegistry(PartSchema);

function headersOf({ credentials, headers, timeoutMs }: ProbeCall): Record<string, string> {
  return {
    ...(credentials === undefined ? {} : { authorization: `Bearer ${credentials}` }),
    // A client that is told a deadline would end the call itself, so the header goes alone.
    ...(timeoutMs === undefined ? {} : { "connect-timeout-ms": `${timeoutMs}`, "grpc-timeout": `${timeoutMs}m` }),
    ...headers,
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
function byClient(method: "fast" | "slow", transport: Transport): Lane {
  const client = createClient(ProbeService, transport);
  return {
    call: async (call) => {
      let header: string | null = null;
      let trailer: string | null = null;
      const options = {
        headers: headersOf(call),
        onHeader: (headers: Headers) => (header = headers.get("x-probe")),
        onTrailer: (trailers: Headers) => (trailer = trailers.get("x-tail")),
      };
      const { request = { name: "a" } } = call;
      try {
        const reply =
          call.method === "look"
            ? await client.look({ name: request.name ?? "" }, options)
            : await client[call.method ?? method](request, options);
        return { code: "ok", reply: jsonOf(call, reply), header, trailer };
      } catch (error) {
        return outcomeOfError(ConnectError.from(error));
      }
    },
    [Symbol.dispose]: () => undefined,
  };
}

function schemaOf({ method }: ProbeCall): { readonly input: DescMessage; readonly output: DescMessage } {
  return ProbeService.method[method ?? "slow"];
}

function jsonOf(call: ProbeCall, reply: Message): unknown {
  return toJson(schemaOf(call).output, reply, { registry });
}

const restPaths = { any: "probes", lawless: "lawless-probes", look: "looks" } as const;

function rest({ addresses }: ProbeServer): Lane {
  return {
    call: async (call) => {
      const { name = "a", ...body } = call.request ?? {};
      const response = await fetch(`${addresses.http}/api/v1/${restPaths[call.method ?? "any"]}/${name}`, {
        headers: { "content-type": "application/json", ...headersOf(call) },
        ...(call.method === "look"
          ? { method: "GET" }
          : {
              method: "POST",
              body: JSON.stringify(body, (_, value: unknown) => (typeof value === "bigint" ? String(value) : value)),
            }),
      });
      const json = (await response.json()) as JsonObject;
      if (response.ok) {
        const reply = fromJson(schemaOf(call).output, json, { registry });
        return {
          code: "ok",
          reply: jsonOf(call, reply),
          header: response.headers.get("x-probe"),
          trailer: response.headers.get("trailer-x-tail"),
        };
      }
      const { error } = json as { error: { code: number; status: string; message: string; details: JsonObject[] } };
      if (error.code !== response.status) throw new Error(`status ${response.status} says ${error.code}`);
      const made = new ConnectError(error.message, codeFromString(error.status.toLowerCase()));
      for (const { "@type": type, ...detail } of error.details) {
        const schema = [ErrorInfoSchema, BadRequestSchema, RetryInfoSchema].find(
          (each) => type === `type.googleapis.com/${each.typeName}`,
        )!;
        made.details.push({ desc: schema, value: create(schema, fromJson(schema, detail)) });
      }
      return outcomeOfError(made);
    },
    [Symbol.dispose]: () => undefined,
  };
}

/** A transport per caller, because there the caller is given, not proven. */
function inProcess(server: ProbeServer): Lane {
  return {
    call: async (call) => {
      try {
        const authorization = headersOf(call)["authorization"];
        const caller =
          authorization === undefined
            ? ({ kind: "anonymous", principal: "anonymous" } as const)
            : await probeAuthenticator.authenticate(authorization);
        const { timeoutMs } = call;
        const transport = server.inProcess(caller);
        const timed: Transport = {
          ...transport,
          unary: (method, signal, _, ...rest) => transport.unary(method, signal, timeoutMs, ...rest),
        };
        return await byClient("fast", timed).call(call);
      } catch (error) {
        const { reason, message, code } = error as { reason: string; message: string; code: string };
        return { code, message, reason };
      }
    },
    [Symbol.dispose]: () => undefined,
  };
}

/** @grpc/grpc-js under Node, in a process of its own. */
function foreign(node: string, { addresses }: ProbeServer): Lane {
  const child = Bun.spawn([node, join(import.meta.dir, "foreign-client.mjs"), addresses.grpc], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const answers = createInterface({ input: Readable.fromWeb(child.stdout as never) })[Symbol.asyncIterator]();
  return {
    call: async (call) => {
      const { input, output } = schemaOf(call);
      const body = Buffer.from(toBinary(input, create(input, call.request ?? { name: "a" }))).toString("base64");
      const { name } = ProbeService.method[call.method ?? "slow"];
      const path = `/${ProbeService.typeName}/${name}`;
      void child.stdin.write(`${JSON.stringify({ path, headers: headersOf(call), body })}\n`);
      await child.stdin.flush();
      const answer = JSON.parse((await answers.next()).value as string) as {
        code: number;
        status?: string;
        body?: string;
        header: string | null;
        trailer: string | null;
      };
      if (answer.body !== undefined) {
        const { header, trailer } = answer;
        const reply = fromBinary(output, Buffer.from(answer.body, "base64"));
        return { code: "ok", reply: jsonOf(call, reply), header, trailer };
      }
      const status = fromBinary(StatusSchema, Buffer.from(answer.status!, "base64"));
      if (status.code !== answer.code) throw new Error(`grpc-status ${answer.code} says ${status.code}`);
      const code = Object.values(Code).find((each) => Number(each) === status.code);
      const error = new ConnectError(status.message, code as Code);
      for (const { typeUrl, value } of status.details) error.details.push({ type: typeUrl.split("/")[1]!, value });
      return outcomeOfError(error);
    },
    [Symbol.dispose]: () => child.kill(),
  };
}

const connect = (
  { addresses }: ProbeServer,
  options: Partial<Parameters<typeof createConnectTransport>[0]> = {},
): Transport =>
  createConnectTransport({
    baseUrl: addresses.http,
    httpVersion: "1.1",
    jsonOptions: { registry },
    ...options,
  } as Parameters<typeof createConnectTransport>[0]);

const grpc = (
  { addresses }: ProbeServer,
  options: Partial<Parameters<typeof createGrpcTransport>[0]> = {},
): Transport => createGrpcTransport({ baseUrl: `http://${addresses.grpc}`, ...options });

/** Name of the lane of a client of another make. */
export const foreignName = "gRPC from @grpc/grpc-js under Node";

const node = Bun.which("node");

/** Every way to call a probe server, by name; without Node on PATH all but the foreign one. */
export const lanes: Readonly<Record<string, (server: ProbeServer) => Lane>> = {
  "Connect binary, fast": (server) => byClient("fast", connect(server)),
  "Connect JSON, fast": (server) => byClient("fast", connect(server, { useBinaryFormat: false })),
  "Connect binary over HTTP/2, fast": (server) => byClient("fast", connect(server, { httpVersion: "2" })),
  "Connect binary, generic": (server) => byClient("slow", connect(server)),
  "Connect JSON, generic": (server) => byClient("slow", connect(server, { useBinaryFormat: false })),
  "Connect gzip to a hot method": (server) =>
    byClient("fast", connect(server, { sendCompression: compressionGzip, compressMinBytes: 0 })),
  "gRPC-Web": (server) =>
    byClient("slow", createGrpcWebTransport({ baseUrl: server.addresses.http, httpVersion: "1.1" })),
  "gRPC, fast": (server) => byClient("fast", grpc(server)),
  "gRPC, generic": (server) => byClient("slow", grpc(server)),
  "gRPC gzip to a hot method": (server) =>
    byClient("fast", grpc(server, { sendCompression: compressionGzip, compressMinBytes: 0 })),
  REST: rest,
  "in process": inProcess,
  ...(node === null ? {} : { [foreignName]: (server) => foreign(node, server) }),
};
